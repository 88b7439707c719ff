// A guest in a process of its own, and what a test says to it.
import { type ChildProcess, fork } from "node:child_process";
import { readFileSync } from "node:fs";

// From the project's folder: a bundle of this file lies elsewhere.
const program = "test/linux/machine.mjs";

export interface MachineOptions {
  /** Our card, or v86's own. Default: ours. */
  nic?: "vring" | "v86";
  /** What `attach` is called with. */
  options?: Record<string, unknown>;
  /** The last part of the guest's address in 10.0.0.0/24, and of its peer's. */
  ip?: number;
  peerIp?: number;
  mtu?: number;
}

export interface ShellResult {
  output: string;
  status: number;
}

export interface PingResult {
  lost: number;
  milliseconds: number[];
}

export interface StrayWrites {
  buffers: number;
  changed: number;
  stray: string[];
}

/** Frames as the device counts them, and as they pass on the bus. */
export interface MachineCounters {
  frames: { fromGuest: number; toGuest: number };
  [name: string]: unknown;
}

export class Machine {
  readonly #process: ChildProcess;
  readonly #pending = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>();
  readonly #address: string;
  #calls = 0;

  private constructor(address: string) {
    this.#address = address;
    this.#process = fork(program, {
      serialization: "advanced",
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    this.#process.on("message", ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
      const call = this.#pending.get(id);
      this.#pending.delete(id);
      if (error === undefined) call?.resolve(result);
      else call?.reject(new Error(error));
    });
    this.#process.on("exit", (code) => {
      for (const { reject } of this.#pending.values()) reject(new Error(`the machine ended with ${code}`));
    });
  }

  /** An emulator with its card that doesn't run yet. */
  static async create({
    nic = "vring",
    options = {},
    ip = 2,
    peerIp = 1,
    mtu = 1500,
  }: MachineOptions = {}): Promise<Machine> {
    const guest = JSON.parse(readFileSync("build/guest/guest.json", "utf8"));
    const machine = new Machine(`10.0.0.${ip}`);
    await machine.#call("create", {
      guest,
      nic,
      options: nic === "vring" ? { mtu, ...options } : {},
      cmdline: guest.cmdline,
      memoryBytes: 256 << 20,
      ip: [10, 0, 0, ip],
      peerIp: [10, 0, 0, peerIp],
      mtu,
    });
    return machine;
  }

  /** A guest that has booted, with its interface up. */
  static async boot(options: MachineOptions = {}): Promise<Machine> {
    const machine = await Machine.create(options);
    try {
      await machine.#call("run");
      await machine.up();
    } catch (error) {
      machine.end();
      throw error;
    }
    return machine;
  }

  async up(): Promise<void> {
    await this.run(`ip addr add ${this.#address}/24 dev eth0 && ip link set eth0 up`);
  }

  /** Runs a command line in the guest; what it said. @throws when it fails */
  async run(command: string, timeout?: number): Promise<string> {
    const { output, status } = await this.shell(command, timeout);
    if (status !== 0) throw new Error(`in the guest, ${command} ended with ${status}:\n${output}`);
    return output;
  }

  shell(command: string, timeout?: number): Promise<ShellResult> {
    return this.#call("shell", { command, timeout }) as Promise<ShellResult>;
  }

  /** Pings the guest from the host. */
  ping(count: number, bytes: number): Promise<PingResult> {
    return this.#call("ping", { count, bytes }) as Promise<PingResult>;
  }

  /** Puts a cable between two machines. */
  static async wire(one: Machine, other: Machine, path: string): Promise<void> {
    await one.#call("listen", { path });
    await other.#call("connect", { path });
  }

  async unplug(): Promise<void> {
    await this.#call("unplug");
  }

  counters(): Promise<MachineCounters> {
    return this.#call("counters") as Promise<MachineCounters>;
  }

  ownQueues(): Promise<string[]> {
    return this.#call("ownQueues") as Promise<string[]>;
  }

  /** Saves the guest, which does not go on here. */
  async save(path: string): Promise<void> {
    await this.#call("save", { path });
  }

  async restore(path: string): Promise<void> {
    await this.#call("restore", { path });
  }

  /** Of frames that come while the guest stands still: buffers it had lent, bytes that changed, and those that may not. */
  strayWrites(count: number, bytes: number): Promise<StrayWrites> {
    return this.#call("strayWrites", { count, bytes }) as Promise<StrayWrites>;
  }

  /** The guest stands still, and takes nothing of the processors, until `resume`. */
  async pause(): Promise<void> {
    await this.#call("pause");
  }

  async resume(): Promise<void> {
    await this.#call("resume");
  }

  /** Has `count` frames sent to the guest, in bursts of 32 as fast as they are taken. */
  async pour(count: number, bytes: number): Promise<void> {
    await this.#call("pour", { count, bytes });
  }

  async flood(frames: number, bytes: number, milliseconds: number): Promise<void> {
    await this.#call("flood", { frames, bytes, milliseconds });
  }

  async stopFlood(): Promise<void> {
    await this.#call("stopFlood");
  }

  async spoilReceiveQueue(): Promise<void> {
    await this.#call("spoilReceiveQueue");
  }

  /** Ends it, unless it has ended. */
  end(): void {
    if (this.#process.connected) this.#process.disconnect();
  }

  #call(method: string, argument?: unknown): Promise<unknown> {
    const id = ++this.#calls;
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
      this.#process.send({ id, method, argument });
    });
  }
}
