// One half of a queue in a thread of its own, in the build for shared memory. It sleeps whenever arming told
// it that it may, until its peer notifies it; a notification that comes before stays until it is looked for.
import { parentPort, workerData } from "node:worker_threads";
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

const { module, memory, bells, half, format, queue, staging, buffers, size, batch, data, seed } = workerData;
/** Nobody works that long without a notification: who still sleeps then has lost one. */
const LOST_MS = 5000;

const { exports: wasm } = new WebAssembly.Instance(module, { env: { memory } });
const call = (name) => wasm[`${format}${half === "driver" ? "Driver" : "Device"}${name}`];
const generator = xoroshiro128plus(seed);
const random = (from, to) => uniformInt(generator, from, to);
const words = new Uint32Array(memory.buffer);
const [mine, peers] = half === "driver" ? [1, 0] : [0, 1];
const arm = call("Arm");
const suppress = call("Suppress");
let sleeps = 0;
let sent = 0;

const notify = () => {
  sent++;
  Atomics.store(bells, peers, 1);
  Atomics.notify(bells, peers);
};
const sleep = () => {
  sleeps++;
  while (Atomics.exchange(bells, mine, 0) === 0) {
    if (Atomics.wait(bells, mine, 0, LOST_MS) === "timed-out") throw new Error(`the ${half} sleeps for ever`);
  }
};

if (half === "driver") drive();
else serve();
parentPort.postMessage({ sleeps, sent });

function drive() {
  const [add, publish, reclaim] = ["Add", "Publish", "Reclaim"].map(call);
  const free = Array.from({ length: size }, (_, token) => token);
  const out = new Uint8Array(size);
  let added = 0;
  let returned = 0;
  while (returned < buffers) {
    if (random(0, 1)) suppress(queue);
    const back = reclaim(queue, staging.reclaimed, batch);
    for (let k = 0; k < back; k++) {
      const [token, len] = words.subarray((staging.reclaimed >>> 2) + 2 * k);
      if (out[token] !== 1) throw new Error(`token ${token} came back twice`);
      if (len !== 1 + token || words[(data + 64 * token) >>> 2] !== ~token >>> 0) {
        throw new Error(`token ${token} came back without what the device wrote`);
      }
      out[token] = 0;
      free.push(token);
    }
    returned += back;
    const most = Math.min(free.length, batch, buffers - added);
    const count = most > 0 ? random(returned === added ? 1 : 0, most) : 0;
    for (let k = 0; k < count; k++) {
      const token = free.pop();
      out[token] = 1;
      words[(data + 64 * token) >>> 2] = token;
      words.set(
        [token, 1 | (1 << 16), data + 64 * token, 4, data + 64 * token, 60],
        (staging.add >>> 2) + 6 * k,
      );
    }
    if (add(queue, staging.add, count) !== count) throw new Error("a buffer did not fit");
    added += count;
    if (count > 0 && publish(queue)) notify();
    if (back === 0 && count === 0 && !arm(queue, 0)) sleep();
  }
}

function serve() {
  const [pop, markUsed, publishUsed] = ["Pop", "MarkUsed", "PublishUsed"].map(call);
  const held = [];
  let used = 0;
  while (used < buffers) {
    if (random(0, 1)) suppress(queue);
    const popped = pop(queue, staging.popped, staging.poppedBytes, batch);
    let at = staging.popped >>> 2;
    for (let k = 0; k < popped; k++) {
      held.push([words[at], words[at + 4]]);
      at += 4 + 2 * ((words[at + 1] & 0xffff) + (words[at + 1] >>> 16));
    }
    const count = random(0, Math.min(held.length, batch));
    for (let k = 0; k < count; k++) {
      const [[handle, ptr]] = held.splice(random(0, held.length - 1), 1);
      const token = words[ptr >>> 2];
      words[ptr >>> 2] = ~token;
      words.set([handle, 1 + token], (staging.used >>> 2) + 2 * k);
    }
    if (markUsed(queue, staging.used, count) !== count) throw new Error("a buffer could not be marked used");
    used += count;
    if (count > 0 && publishUsed(queue)) notify();
    if (popped === 0 && held.length === 0 && used < buffers && !arm(queue, 0)) sleep();
  }
}
