/** The shell on the guest's serial port. */
export class Serial {
  #text = "";
  #waiting = null;
  #last = Promise.resolve();
  #count = 0;

  constructor(emulator) {
    this.emulator = emulator;
    emulator.add_listener("serial0-output-byte", (byte) => {
      this.#text += String.fromCharCode(byte);
      if (byte === 10) this.#waiting?.();
    });
  }

  /** The end of what the guest said, for an error's message. */
  get tail() {
    return this.#text.slice(-1000);
  }

  /** What the guest said up to and with `mark`, which is taken off what is waiting to be read. */
  until(mark, timeout = 300_000) {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting = null;
        reject(new Error(`the guest did not say ${JSON.stringify(mark)} within ${timeout} ms`));
      }, timeout);
      const look = () => {
        const at = this.#text.indexOf(mark);
        if (at < 0) return;
        clearTimeout(timer);
        this.#waiting = null;
        const said = this.#text.slice(0, at + mark.length);
        this.#text = this.#text.slice(at + mark.length);
        resolve(said);
      };
      this.#waiting = look;
      look();
    });
  }

  /** Runs a command line in the guest: what it said, and its exit code. One at a time. */
  shell(command, timeout) {
    const done = this.#last.then(() => this.#shell(command, timeout));
    this.#last = done.catch(() => {});
    return done;
  }

  async #shell(command, timeout) {
    const mark = `done-${++this.#count}`;
    this.emulator.serial0_send(`echo start-${mark}; ${command}\necho "${mark} $?"\n`);
    await this.until(`start-${mark}\n`, timeout);
    const output = await this.until(`${mark} `, timeout);
    const status = Number(await this.until("\n", timeout));
    return { output: output.slice(0, -mark.length - 1), status };
  }
}
