// An initramfs as the kernel reads it: a cpio archive in the "newc" format (Documentation/driver-api/
// early-userspace/buffer-format.rst). Uncompressed, because unpacking costs more in an emulator than reading.

/**
 * @typedef {object} Entry
 * @property {string} name Without a leading slash.
 * @property {number} mode File type and permissions, as in stat(2).
 * @property {Uint8Array} [content]
 * @property {[number, number]} [device] Major and minor number of a device node.
 */

export const DIRECTORY = 0o040755;
export const FILE = 0o100644;
export const PROGRAM = 0o100755;
export const CHARACTER_DEVICE = 0o020600;

/** @param {Entry[]} entries */
export function cpio(entries) {
  const trailer = { name: "TRAILER!!!", mode: 0 };
  return Buffer.concat([...entries, trailer].flatMap((entry, index) => record(entry, index + 1)));
}

/** @param {Entry} entry */
function record({ name, mode, content = Buffer.alloc(0), device = [0, 0] }, inode) {
  const links = mode === DIRECTORY ? 2 : 1;
  const [major, minor] = device;
  const path = Buffer.from(`${name}\0`);
  const fields = [inode, mode, 0, 0, links, 0, content.length, 0, 0, major, minor, path.length, 0];
  const head = `070701${fields.map((field) => field.toString(16).padStart(8, "0")).join("")}`;
  return [...padded(Buffer.from(head), path), ...padded(Buffer.from(content))];
}

/** The parts, and zeros up to a multiple of four bytes. */
function padded(...parts) {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  return [...parts, Buffer.alloc(-bytes & 3)];
}
