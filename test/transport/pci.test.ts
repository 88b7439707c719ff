import { beforeEach, describe, expect, test } from "vitest";
import type { DeviceRegisters } from "../../src/registers.ts";
import { PciTransport, type Width } from "../../src/transport/pci.ts";
import * as pci from "../../src/transport/pci-layout.ts";

/** Registers that remember every call, and whose reads give a value that names the register. */
function recorder(): { registers: DeviceRegisters; calls: string[] } {
  const calls: string[] = [];
  const said =
    (name: string, value: number) =>
    (...args: number[]): number => {
      calls.push(`${name}(${args.join(", ")})`);
      return value;
    };
  const registers: DeviceRegisters = {
    deviceId: 1,
    queueCount: 3,
    configBytes: 12,
    readDeviceFeatures: said("readDeviceFeatures", 0x8000_0001),
    readDriverFeatures: said("readDriverFeatures", 2),
    writeDriverFeatures: said("writeDriverFeatures", 0),
    readStatus: said("readStatus", 11),
    writeStatus: said("writeStatus", 0),
    readConfigGeneration: said("readConfigGeneration", 0x1234),
    readConfig: said("readConfig", 4),
    writeConfig: said("writeConfig", 0),
    readQueueSize: said("readQueueSize", 256),
    writeQueueSize: said("writeQueueSize", 0),
    readQueueAddress: said("readQueueAddress", 0xffff_f000),
    writeQueueAddress: said("writeQueueAddress", 0),
    readQueueEnable: said("readQueueEnable", 1),
    writeQueueEnable: said("writeQueueEnable", 0),
    readQueueReset: said("readQueueReset", 0),
    writeQueueReset: said("writeQueueReset", 0),
    readQueueNotifyData: said("readQueueNotifyData", 7),
    notify: said("notify", 0),
  };
  return { registers, calls };
}

let calls: string[];
let line: boolean[];
let transport: PciTransport;

beforeEach(() => {
  const made = recorder();
  calls = made.calls;
  line = [];
  transport = new PciTransport(made.registers, (asserted) => line.push(asserted));
});

/** The configuration space as 4.1.4 says a driver walks it: type, and what the capability says. */
function capabilities(space: DataView) {
  const found = [];
  for (let at = space.getUint8(0x34); at !== 0; at = space.getUint8(at + 1)) {
    found.push({
      at,
      vendor: space.getUint8(at),
      length: space.getUint8(at + 2),
      type: space.getUint8(at + 3),
      bar: space.getUint8(at + 4),
      offset: space.getUint32(at + 8, true),
      bytes: space.getUint32(at + 12, true),
    });
  }
  return found;
}

describe("the configuration space", () => {
  const space = new DataView(pci.configurationSpace(1, 0x020000, 0xc400).buffer);

  test("is that of a non-transitional network card with one I/O BAR and interrupt pin A", () => {
    expect(space.getUint16(0, true)).toBe(0x1af4);
    expect(space.getUint16(2, true)).toBe(0x1041);
    expect(space.getUint8(8)).toBeGreaterThanOrEqual(1);
    expect(space.getUint32(8, true) >>> 8).toBe(0x020000);
    expect(space.getUint32(0x10, true)).toBe(0xc401);
    expect(space.getUint16(0x2e, true)).toBeGreaterThanOrEqual(0x40);
    expect(space.getUint16(6, true) & 0x10).toBe(0x10);
    expect(space.getUint8(0x3d)).toBe(1);
  });

  test("lists each structure once, aligned, inside the BAR, and none over another", () => {
    const all = capabilities(space);
    expect(all.map(({ type }) => type).sort()).toEqual([1, 2, 3, 4, 5]);
    const places = all.filter(({ type }) => type !== pci.CAP_PCI_CFG).sort((a, b) => a.offset - b.offset);
    let end = 0;
    for (const { vendor, bar, offset, bytes } of places) {
      expect(vendor).toBe(9);
      expect(bar).toBe(0);
      expect(offset % 4).toBe(0);
      expect(offset).toBeGreaterThanOrEqual(end);
      end = offset + bytes;
    }
    expect(end).toBeLessThanOrEqual(pci.BAR_BYTES);
    // Capabilities are four bytes aligned and don't overlap either (4.1.4.1).
    for (const [index, { at, length }] of all.entries()) {
      expect(at % 4).toBe(0);
      if (index + 1 < all.length) expect(at + length).toBeLessThanOrEqual(all[index + 1].at);
    }
  });
});

describe("the common configuration", () => {
  const reads: [number, Width, number, string | undefined][] = [
    [pci.DEVICE_FEATURE, 4, 0x8000_0001, "readDeviceFeatures(0)"],
    [pci.DRIVER_FEATURE, 4, 2, "readDriverFeatures(0)"],
    [pci.CONFIG_MSIX_VECTOR, 2, 0xffff, undefined],
    [pci.NUM_QUEUES, 2, 3, undefined],
    [pci.DEVICE_STATUS, 1, 11, "readStatus()"],
    [pci.CONFIG_GENERATION, 1, 0x34, "readConfigGeneration()"],
    [pci.QUEUE_SIZE, 2, 256, "readQueueSize(0)"],
    [pci.QUEUE_MSIX_VECTOR, 2, 0xffff, undefined],
    [pci.QUEUE_ENABLE, 2, 1, "readQueueEnable(0)"],
    [pci.QUEUE_NOTIFY_OFF, 2, 0, undefined],
    [pci.QUEUE_DESC, 4, 0xffff_f000, "readQueueAddress(0, 0)"],
    [pci.QUEUE_DESC + 4, 4, 0xffff_f000, "readQueueAddress(0, 1)"],
    [pci.QUEUE_DRIVER, 4, 0xffff_f000, "readQueueAddress(0, 2)"],
    [pci.QUEUE_DRIVER + 4, 4, 0xffff_f000, "readQueueAddress(0, 3)"],
    [pci.QUEUE_DEVICE, 4, 0xffff_f000, "readQueueAddress(0, 4)"],
    [pci.QUEUE_DEVICE + 4, 4, 0xffff_f000, "readQueueAddress(0, 5)"],
    [pci.QUEUE_NOTIF_CONFIG_DATA, 2, 7, "readQueueNotifyData(0)"],
    [pci.QUEUE_RESET, 2, 0, "readQueueReset(0)"],
  ];
  for (const [offset, width, value, call] of reads) {
    test(`offset ${offset}, ${width} bytes: ${call ?? "known without asking"}`, () => {
      expect(transport.read(offset, width)).toBe(value);
      expect(calls).toEqual(call === undefined ? [] : [call]);
    });
  }

  test("writes reach the register with the queue and the window that are selected", () => {
    transport.write(pci.DEVICE_FEATURE_SELECT, 4, 1);
    transport.write(pci.DRIVER_FEATURE_SELECT, 4, 2);
    transport.write(pci.QUEUE_SELECT, 2, 1);
    expect(transport.read(pci.DEVICE_FEATURE_SELECT, 4)).toBe(1);
    expect(transport.read(pci.DRIVER_FEATURE_SELECT, 4)).toBe(2);
    expect(transport.read(pci.QUEUE_SELECT, 2)).toBe(1);
    expect(transport.read(pci.QUEUE_NOTIFY_OFF, 2)).toBe(1);
    transport.read(pci.DEVICE_FEATURE, 4);
    transport.write(pci.DRIVER_FEATURE, 4, -1);
    transport.write(pci.QUEUE_SIZE, 2, 128);
    transport.write(pci.QUEUE_DESC, 4, -4096);
    transport.write(pci.QUEUE_DEVICE + 4, 4, 1);
    transport.write(pci.QUEUE_ENABLE, 2, 1);
    transport.write(pci.QUEUE_RESET, 2, 1);
    expect(calls).toEqual([
      "readDeviceFeatures(1)",
      "writeDriverFeatures(2, 4294967295)",
      "writeQueueSize(1, 128)",
      "writeQueueAddress(1, 0, 4294963200)",
      "writeQueueAddress(1, 5, 1)",
      "writeQueueEnable(1, 1)",
      "writeQueueReset(1, 1)",
    ]);
  });

  test("an access at another width than the field's, or beside the fields, does nothing", () => {
    transport.write(pci.DEVICE_STATUS, 2, 0);
    transport.write(pci.QUEUE_SIZE, 1, 1);
    transport.write(pci.QUEUE_DESC + 2, 4, 1);
    transport.write(pci.QUEUE_ENABLE, 2, 0);
    transport.write(pci.ISR + 4, 4, 1);
    expect(transport.read(pci.DEVICE_FEATURE, 1)).toBe(0);
    expect(transport.read(pci.QUEUE_DESC, 2)).toBe(0);
    expect(transport.read(pci.ISR + 8, 4)).toBe(0);
    expect(calls).toEqual([]);
  });

  test("a reset takes the interrupt and the selectors back", () => {
    transport.write(pci.QUEUE_SELECT, 2, 2);
    transport.usedBuffers();
    transport.write(pci.DEVICE_STATUS, 1, 0);
    expect(transport.read(pci.QUEUE_SELECT, 2)).toBe(0);
    expect(transport.read(pci.ISR, 1)).toBe(0);
    expect(line).toEqual([true, false]);
    expect(calls).toEqual(["writeStatus(0)"]);
  });
});

test("the ISR status names both causes once, and reading it takes the line back (4.1.4.5)", () => {
  transport.usedBuffers();
  expect(transport.read(pci.ISR, 1)).toBe(pci.ISR_QUEUE);
  transport.configChange();
  transport.usedBuffers();
  expect(transport.read(pci.ISR, 1)).toBe(pci.ISR_QUEUE | pci.ISR_CONFIG);
  expect(transport.read(pci.ISR, 1)).toBe(0);
  expect(line).toEqual([true, false, true, true, false]);
});

test("a kick carries what the driver wrote, at any queue's place and at both widths (4.1.5.2)", () => {
  transport.write(pci.NOTIFY, 2, 0);
  transport.write(pci.NOTIFY + 2 * pci.NOTIFY_MULTIPLIER, 4, 0x8005_0002);
  expect(calls).toEqual(["notify(0)", `notify(${0x8005_0002})`]);
});

test("the device configuration is passed on at the driver's offset and width", () => {
  expect(transport.read(pci.CONFIG + 6, 2)).toBe(4);
  transport.write(pci.CONFIG + 1, 1, 255);
  expect(calls).toEqual(["readConfig(6, 2)", "writeConfig(1, 1, 255)"]);
});

describe("the window in the configuration space (4.1.4.9)", () => {
  function point(bar: number, offset: number, width: number): DataView {
    const window = new DataView(new ArrayBuffer(20));
    window.setUint8(4, bar);
    window.setUint32(8, offset, true);
    window.setUint32(12, width, true);
    return window;
  }

  test("reads and writes what it points at, at its width", () => {
    expect(transport.readWindow(point(0, pci.NUM_QUEUES, 2))).toBe(3);
    transport.writeWindow(point(0, pci.DEVICE_STATUS, 1), 0xffff_ff0f);
    transport.writeWindow(point(0, pci.DRIVER_FEATURE, 4), 0xffff_ffff);
    expect(calls).toEqual(["writeStatus(15)", "writeDriverFeatures(0, 4294967295)"]);
  });

  test("points nowhere with another BAR, a width that isn't one, or an offset that isn't inside and aligned", () => {
    for (const window of [
      point(1, pci.NUM_QUEUES, 2),
      point(0, pci.NUM_QUEUES, 3),
      point(0, pci.NUM_QUEUES, 0),
      point(0, 1, 2),
      point(0, pci.BAR_BYTES, 4),
      point(0, 0xffff_fffc, 4),
    ]) {
      transport.writeWindow(window, 1);
      expect(transport.readWindow(window)).toBe(0);
    }
    expect(calls).toEqual([]);
  });
});

test("the transport's own registers can be carried over", () => {
  transport.write(pci.DEVICE_FEATURE_SELECT, 4, 1);
  transport.write(pci.QUEUE_SELECT, 2, 2);
  transport.configChange();
  const other = new PciTransport(recorder().registers, () => {});
  other.state = transport.state;
  expect(other.read(pci.QUEUE_SELECT, 2)).toBe(2);
  expect(other.read(pci.DEVICE_FEATURE_SELECT, 4)).toBe(1);
  expect(other.read(pci.ISR, 1)).toBe(pci.ISR_CONFIG);
});
