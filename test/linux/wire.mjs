import { createServer, connect as dial } from "node:net";

/**
 * A cable to another process: frames over a socket, each behind its length. What is sent in one turn goes out in
 * one write.
 */
export class Wire {
  #socket;
  #batch = [];
  #bytes = 0;

  /** @param {(frame: Uint8Array) => void} receive */
  constructor(receive) {
    this.receive = receive;
  }

  send(frame) {
    if (this.#batch.length === 0) setImmediate(() => this.#flush());
    this.#batch.push(frame);
    this.#bytes += 4 + frame.length;
  }

  listen(path) {
    return new Promise((resolve, reject) => {
      const server = createServer((socket) => {
        this.#take(socket);
        server.close();
      });
      server.on("error", reject);
      server.listen(path, resolve);
    });
  }

  connect(path) {
    return new Promise((resolve, reject) => {
      const socket = dial(path, () => {
        this.#take(socket);
        resolve();
      });
      socket.on("error", reject);
    });
  }

  #flush() {
    const data = Buffer.allocUnsafe(this.#bytes);
    let at = 0;
    for (const frame of this.#batch) {
      data.writeUInt32LE(frame.length, at);
      data.set(frame, at + 4);
      at += 4 + frame.length;
    }
    this.#socket?.write(data);
    this.#batch = [];
    this.#bytes = 0;
  }

  #take(socket) {
    this.#socket = socket;
    let rest = Buffer.alloc(0);
    socket.on("error", () => {});
    socket.on("data", (data) => {
      rest = rest.length === 0 ? data : Buffer.concat([rest, data]);
      let at = 0;
      while (rest.length - at >= 4) {
        const end = at + 4 + rest.readUInt32LE(at);
        if (end > rest.length) break;
        this.receive(rest.subarray(at + 4, end));
        at = end;
      }
      rest = rest.subarray(at);
    });
  }
}
