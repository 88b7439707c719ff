/** The driver's bring-up (3.1.1), as a log of what it does to a device's registers. */
import { describe, expect, it } from "vitest";
import { DeviceCore } from "../../src/device/core.ts";
import { DriverCore, type DriverCoreOptions } from "../../src/driver/core.ts";
import type { Engine } from "../../src/engine.ts";
import { DriverError, RefusedError } from "../../src/errors.ts";
import { closedFeatures, type TransportType } from "../../src/feature-rules.ts";
import { Features, featureBit } from "../../src/features.ts";
import { type DeviceRegisters, QUEUE_DESC, QUEUE_DEVICE, QUEUE_DRIVER } from "../../src/registers.ts";
import {
  ALL_FEATURES,
  ECHO_CONFIG_BYTES,
  ECHO_RULES,
  EchoDevice,
  EchoDriver,
  type EchoOptions,
  echoEngine,
  FANCY,
  FAR,
  PLAIN,
} from "../support/echo.ts";
import { Random } from "../support/random.ts";
import { type Access, isWrite, recorded, statusWrites } from "../support/recorded.ts";

interface Bench {
  engine: Engine;
  deviceKind: EchoDevice;
  device: DeviceCore;
  driverKind: EchoDriver;
  driver: DriverCore;
  log: Access[];
}

/** A driver before a device whose registers are logged, and answer what `answers` say. */
async function bench(
  options: EchoOptions & {
    driver?: DriverCoreOptions;
    driverRequired?: bigint;
    answers?: (device: DeviceCore) => Partial<DeviceRegisters>;
  } = {},
): Promise<Bench> {
  const queues = options.queues ?? 2;
  const engine = await echoEngine(queues);
  const transport = options.driver?.transport;
  const deviceKind = new EchoDevice(engine, { ...options, queues });
  const device = new DeviceCore(engine, deviceKind, { transport });
  const driverKind = new EchoDriver(engine, { queues, required: options.driverRequired });
  const { registers, log } = recorded(device, options.answers?.(device));
  const driver = new DriverCore(engine, registers, driverKind, { pollLimit: 20, ...options.driver });
  device.connect(driver);
  return { engine, deviceKind, device, driverKind, driver, log };
}

/** What is done between two status writes. */
function stage(log: readonly Access[], from: number, to: number): Access[] {
  const at = (status: number): number =>
    log.findIndex(({ name, args }) => name === "writeStatus" && args[0] === status);
  return log.slice(at(from) + 1, at(to));
}

const QUEUE_WRITE = /^writeQueue/;

describe("the order of things", () => {
  it("G-D-01, V-D-03: status writes are 00 01 03 0B 0F; features before 0B, queues between 0B and 0F, each enabled last", async () => {
    const { driver, log } = await bench();
    driver.start();
    expect(statusWrites(log)).toEqual([0, 1, 3, 0x0b, 0x0f]);
    const features = log.filter(({ name }) => name === "writeDriverFeatures");
    expect(stage(log, 3, 0x0b).filter(({ name }) => name === "writeDriverFeatures")).toEqual(features);
    const queues = log.filter(({ name }) => QUEUE_WRITE.test(name));
    expect(stage(log, 0x0b, 0x0f).filter(({ name }) => QUEUE_WRITE.test(name))).toEqual(queues);
    for (const queue of [0, 1]) {
      const own = queues.filter(({ args }) => args[0] === queue);
      expect(own.map(({ name, args }) => [name, args[1]])).toEqual([
        ["writeQueueSize", 16],
        ...[QUEUE_DESC, QUEUE_DRIVER, QUEUE_DEVICE].flatMap((word) => [
          ["writeQueueAddress", word],
          ["writeQueueAddress", word + 1],
        ]),
        ["writeQueueEnable", 1],
      ]);
    }
  });

  it("G-D-12: FEATURES_OK is read back before anything else is done with the features", async () => {
    const { driver, log } = await bench();
    driver.start();
    expect(stage(log, 0x0b, 0x0f)[0]).toEqual({ name: "readStatus", args: [], value: 0x0b });
  });

  it("G-D-11: config is not written before FEATURES_OK, and features are not after it", async () => {
    const { driver, driverKind, log } = await bench();
    driverKind.queues = (host) => {
      host.writeConfig(14, 1, 5);
      return [];
    };
    driver.start();
    expect(stage(log, 0, 0x0b).filter(({ name }) => name === "writeConfig")).toEqual([]);
    expect(stage(log, 0x0b, 0x0f).filter(({ name }) => name === "writeConfig")).toHaveLength(1);
    driver.reset();
    expect(() => driver.writeConfig(14, 1, 5)).toThrow(expect.objectContaining({ code: "config-early" }));
  });

  it("G-D-14: queues are filled before DRIVER_OK without a kick; the kick goes out after it", async () => {
    const { driver, driverKind, log } = await bench();
    driverKind.onFill = () => {
      for (const queue of [0, 1]) {
        for (let k = 0; k < 4; k++) driverKind.send(queue, 4 * queue + k);
        expect(driverKind.flush(queue)).toBe(false);
      }
      driver.kick(0);
    };
    driver.start();
    const ok = log.findIndex(({ name, args }) => name === "writeStatus" && args[0] === 0x0f);
    const kicks = log.flatMap(({ name }, at) => (name === "notify" ? [at] : []));
    expect(kicks.length).toBeGreaterThan(0);
    expect(kicks.every((at) => at > ok)).toBe(true);
    expect(driverKind.done.sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  it("G-D-08: nothing else is written before the status reads 0, for any number of reads", async () => {
    for (const reads of [0, 1, 7, 19]) {
      let left = reads;
      const { driver, log } = await bench({
        answers: (device) => ({ readStatus: () => (left-- > 0 ? 0x55 : device.readStatus()) }),
      });
      driver.start();
      const zero = log.findIndex(({ name, value }) => name === "readStatus" && value === 0);
      expect(log.slice(0, zero).filter(isWrite)).toEqual([
        { name: "writeStatus", args: [0], value: undefined },
      ]);
      expect(zero).toBe(reads + 1);
    }
  });

  it("G-D-08: a status that never reads 0 is an error after a bounded number of reads, with nothing else written", async () => {
    let waits = 0;
    const { driver, driverKind, log } = await bench({
      answers: () => ({ readStatus: () => 0x0f }),
      driver: { pollLimit: 50, wait: () => waits++ },
    });
    expect(() => driver.start()).toThrow(
      expect.objectContaining({ code: "reset-timeout", name: "DriverError" }),
    );
    expect(log).toHaveLength(51);
    expect(waits).toBe(50);
    expect(driverKind.calls).toEqual([]);
  });
});

describe("what is acked", () => {
  it("G-D-05: of any offer and any wish a part of both that is closed under the rules", async () => {
    const random = new Random(21);
    const some = (): bigint => {
      let mask = 0n;
      for (const bit of [PLAIN, FANCY, FAR, ...Object.values(Features)]) if (random.chance(60)) mask |= bit;
      return mask;
    };
    for (let round = 0; round < 200; round++) {
      const [offered, decline] = [some() | Features.VERSION_1, some() & ~Features.VERSION_1];
      const { driver, device } = await bench({ features: offered, driver: { decline } });
      driver.start();
      expect(driver.offered).toBe(device.offered);
      expect(driver.features & ~device.offered).toBe(0n);
      expect(driver.features & decline).toBe(0n);
      expect(closedFeatures(driver.features, ECHO_RULES)).toBe(driver.features);
      expect(device.features).toBe(driver.features);
    }
  });

  it("G-D-06, F-B-04: an offer of all ones over 128 bits fails nothing, and only what both implement comes back", async () => {
    const acked = [0, 0, 0, 0];
    let status = 0;
    const { driver } = await bench({
      answers: () => ({
        readDeviceFeatures: () => 0xffff_ffff,
        writeDriverFeatures: (window, value) => {
          acked[window] = value;
        },
        writeStatus: (value) => {
          status = value;
        },
        readStatus: () => status,
      }),
      driver: { transport: "pci" },
    });
    // The device doesn't know of it, so no queue comes up; what was acked counts.
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "queue-refused" }));
    let bits = 0n;
    for (const [window, value] of acked.entries()) bits |= BigInt(value) << BigInt(32 * window);
    expect(bits).toBe(ALL_FEATURES);
  });

  it("F-B-03: bits that belong to another transport stay un-acked", async () => {
    const bound: Record<TransportType, number[]> = {
      pci: [39, 40],
      mmio: [40],
      ccw: [],
      "in-process": [39, 40],
    };
    for (const [transport, bits] of Object.entries(bound) as [TransportType, number[]][]) {
      let acked = 0;
      const { driver } = await bench({
        answers: (device) => ({
          readDeviceFeatures: () => 0xffff_ffff,
          writeDriverFeatures: (window, value) => {
            if (window === 1) acked = value;
            device.writeDriverFeatures(window, value);
          },
        }),
        driver: { transport },
      });
      try {
        driver.start();
      } catch (error) {
        expect(error).toBeInstanceOf(DriverError);
      }
      expect([37, 39, 40, 41].filter((bit) => acked & (1 << (bit - 32)))).toEqual(bits);
    }
  });

  it("F-D-01, F-D-02, F-B-01, F-D-03: ACCESS_PLATFORM, RING_PACKED, VERSION_1 and NOTIF_CONFIG_DATA are acked whenever they are offered, whatever the kind wants", async () => {
    for (const feature of [
      Features.ACCESS_PLATFORM,
      Features.RING_PACKED,
      Features.ORDER_PLATFORM,
      Features.NOTIF_CONFIG_DATA,
    ]) {
      for (const offered of [0n, feature]) {
        const { driver, driverKind } = await bench({ features: offered });
        driverKind.features = 0n;
        driver.start();
        expect(driver.features).toBe(Features.VERSION_1 | offered);
        const packed = offered === Features.RING_PACKED ? "packed" : "split";
        expect([0, 1].map((queue) => driver.queue(queue).format)).toEqual([packed, packed]);
      }
    }
  });

  it("F-D-01: ACCESS_PLATFORM is not acked by an engine without memory for mappings, and a device that needs it is given up", async () => {
    for (const accessLimited of [false, true]) {
      const engine = await echoEngine(1, { dma: undefined });
      const device = new DeviceCore(engine, new EchoDevice(engine), { accessLimited });
      const driver = new DriverCore(engine, device, new EchoDriver(engine));
      if (accessLimited) {
        expect(() => driver.start()).toThrow(expect.objectContaining({ code: "features-refused" }));
        expect(device.fault?.code).toBe("features-required");
      } else {
        driver.start();
        expect(driver.features).toBe(ALL_FEATURES & ~Features.ACCESS_PLATFORM);
      }
    }
  });

  it("G-D-07: a feature that is missing is done without; one that is required makes it give up with FAILED, no queue configured", async () => {
    const poor = await bench({ features: 0n });
    poor.driver.start();
    expect(poor.driver.features).toBe(Features.VERSION_1);
    poor.driverKind.send(0, 1);
    poor.driverKind.flush(0);
    expect(poor.driverKind.done).toEqual([1]);

    const { driver, log } = await bench({ features: 0n, driverRequired: FAR });
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "feature-missing" }));
    expect(statusWrites(log)).toEqual([0, 1, 3, 0x83]);
    expect(log.filter(({ name }) => QUEUE_WRITE.test(name))).toEqual([]);
  });

  it("F-B-01: a device without VERSION_1 is refused", async () => {
    const { driver } = await bench({ answers: () => ({ readDeviceFeatures: () => 0 }) });
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "feature-missing" }));
    expect(driver.status & 0x80).toBe(0x80);
  });

  it("G-D-12: a device that takes FEATURES_OK back is given up, with no queue set up", async () => {
    const { driver, deviceKind, log } = await bench();
    deviceKind.answers.accept = false;
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "features-refused" }));
    expect(statusWrites(log)).toEqual([0, 1, 3, 0x0b, 0x8b]);
    expect(log.filter(({ name }) => QUEUE_WRITE.test(name))).toEqual([]);
  });
});

describe("giving up", () => {
  const boom = new Error("boom");
  const failures: Record<string, [Parameters<typeof bench>[0], (made: Bench) => void, unknown]> = {
    "another device": [{ answers: () => ({ deviceId: 7 }) as never }, () => {}, { code: "wrong-device" }],
    "a config space that is too small": [
      { answers: () => ({ configBytes: ECHO_CONFIG_BYTES - 1 }) as never },
      () => {},
      { code: "config-too-small" },
    ],
    "a queue that is missing": [
      { answers: () => ({ readQueueSize: () => 0 }) },
      () => {},
      { code: "queue-missing" },
    ],
    "a queue that is enabled already": [
      { answers: () => ({ readQueueEnable: () => 1 }) },
      () => {},
      { code: "queue-busy" },
    ],
    "a queue that does not come up": [
      { answers: () => ({ writeQueueEnable: () => {} }) },
      () => {},
      { code: "queue-refused" },
    ],
    "a queue that the engine has not": [
      {},
      ({ driverKind }) => {
        driverKind.plans = [{ index: 2 }];
      },
      { code: "queue-missing" },
    ],
    "a kind that can't say its queues": [
      {},
      ({ driverKind }) => {
        driverKind.queues = () => {
          throw boom;
        };
      },
      boom,
    ],
    "a kind that can't fill them": [
      {},
      ({ driverKind }) => {
        driverKind.onFill = () => {
          throw boom;
        };
      },
      boom,
    ],
    "config that never holds still": [
      { answers: () => ({ readConfigGeneration: generations() }) },
      ({ driverKind }) => {
        driverKind.onFill = (host) => host.readConfigFields([{ offset: 0, bytes: 8 }]);
      },
      { code: "config-unstable" },
    ],
  };

  function generations(): () => number {
    let generation = 0;
    return () => generation++;
  }

  it.each(Object.keys(failures))(
    "G-D-13, G-D-02: %s ends in FAILED, and DRIVER_OK never shows",
    async (name) => {
      const [options, spoil, error] = failures[name];
      const made = await bench(options);
      spoil(made);
      const thrown = error instanceof Error ? error : expect.objectContaining(error as object);
      expect(() => made.driver.start()).toThrow(thrown as Error);
      const writes = statusWrites(made.log);
      expect((writes.at(-1) ?? 0) & 0x80).toBe(0x80);
      expect(writes.every((status) => !(status & 4))).toBe(true);
      // G-D-02: no bit is dropped but by the first write.
      writes.slice(1).reduce((before, status) => {
        expect(status & before).toBe(before);
        return status;
      }, 0);
    },
  );

  it("G-D-03: after FAILED a new try begins with a reset that is waited for, and works", async () => {
    let missing = true;
    const { driver, driverKind, log } = await bench({
      answers: (device) => ({ readQueueSize: (queue) => (missing ? 0 : device.readQueueSize(queue)) }),
    });
    expect(() => driver.start()).toThrow(expect.objectContaining({ code: "queue-missing" }));
    missing = false;
    log.length = 0;
    driver.start();
    expect(log.slice(0, 2)).toEqual([
      { name: "writeStatus", args: [0], value: undefined },
      { name: "readStatus", args: [], value: 0 },
    ]);
    driverKind.send(0, 9);
    driverKind.flush(0);
    expect(driverKind.done).toEqual([9]);
  });
});

describe("queues", () => {
  it("V-D-03: sizes are legal for the format and no larger than the device's, and nothing is written for one that is not", async () => {
    const sizes: [bigint, number, number, boolean][] = [
      [0n, 16, 16, true],
      [0n, 8, 8, true],
      [0n, 1, 16, true],
      [0n, 3, 16, false],
      [0n, 0, 16, false],
      [0n, 32, 16, false],
      [0n, 16, 8, false],
      [Features.RING_PACKED, 3, 16, true],
      [Features.RING_PACKED, 16, 16, true],
      [Features.RING_PACKED, 0, 16, false],
      [Features.RING_PACKED, 17, 16, false],
      [Features.RING_PACKED, 7, 5, false],
    ];
    for (const [features, size, most, legal] of sizes) {
      const { driver, driverKind, deviceKind, log } = await bench({ features });
      deviceKind.maxQueueSize = () => most;
      driverKind.plans = [{ index: 0, size }];
      if (legal) {
        driver.start();
        expect(driver.queue(0).size).toBe(size);
      } else {
        expect(() => driver.start()).toThrow(expect.objectContaining({ code: "queue-size" }));
        expect(log.filter(({ name }) => QUEUE_WRITE.test(name))).toEqual([]);
      }
    }
  });

  it("V-D-03: without a wish the largest legal size is taken, of a device that shows any maximum", async () => {
    for (const [features, most, size] of [
      [0n, 13, 8],
      [Features.RING_PACKED, 13, 13],
      [0n, 0xffff, 16],
      [Features.RING_PACKED, 0xffff, 16],
    ] as [bigint, number, number][]) {
      let shown = 0;
      const { driver } = await bench({
        features,
        queues: 1,
        answers: (device) => ({
          readQueueSize: () => most,
          writeQueueSize: (queue, written) => {
            shown = written;
            device.writeQueueSize(queue, written);
          },
        }),
      });
      driver.start();
      expect([shown, driver.queue(0).size]).toEqual([size, size]);
    }
  });

  it("F-D-01: with ACCESS_PLATFORM or without, addresses are those of the device's window", async () => {
    for (const decline of [0n, Features.ACCESS_PLATFORM]) {
      const { driver, engine, driverKind, log } = await bench({ driver: { decline } });
      const { offset, length } = engine.devices[0].window;
      engine.devices[0].setWindow({ base: 1n << 40n, length, offset });
      driver.start();
      const words = log.filter(({ name }) => name === "writeQueueAddress").map(({ args }) => args);
      for (const [, word, value] of words) if (word % 2 === 1) expect(value).toBe(1 << 8);
      expect(words).toHaveLength(12);
      driverKind.send(0, 3);
      driverKind.flush(0);
      expect(driverKind.done).toEqual([3]);
    }
  });

  it("a queue whose buffers were not taken back is not set up again", async () => {
    const { driver, driverKind, deviceKind } = await bench();
    deviceKind.hold = true;
    driver.start();
    driverKind.send(0, 1);
    driverKind.flush(0);
    driverKind.queueStopped = () => {};
    expect(() => driver.start()).toThrow(RefusedError);
    expect(driver.status & 0x80).toBe(0x80);
  });

  it("F-B-04: bit 69 is negotiated through window 2", async () => {
    const { driver, device, log } = await bench({ features: FAR });
    driver.start();
    expect(driver.features & featureBit(69)).not.toBe(0n);
    expect(log).toContainEqual({ name: "writeDriverFeatures", args: [2, 1 << 5], value: undefined });
    expect(device.features & featureBit(69)).not.toBe(0n);
  });
});
