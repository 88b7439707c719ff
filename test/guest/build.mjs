// The guest of the Linux tests, from Debian's packages only: kernel and modules, busybox, BIOS. It lands in
// build/guest, which git ignores. By hand: node test/guest/build.mjs
//
// apt works in a tree of its own below build/guest: the architecture i386 is added there and not to the machine,
// nothing is installed, and no privileges are needed. Where the machine's package sources have no i386 kernel, or
// there is no apt at all, the error is a GuestUnavailable, which says why.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { CHARACTER_DEVICE, cpio, DIRECTORY, FILE, PROGRAM } from "./cpio.mjs";

const cache = fileURLToPath(new URL("../../build/guest", import.meta.url));
const apt = join(cache, "apt");
const unpacked = join(cache, "unpacked");

/** In the order in which they have to be loaded. */
const MODULES = [
  "drivers/virtio/virtio",
  "drivers/virtio/virtio_ring",
  "drivers/virtio/virtio_pci_modern_dev",
  "drivers/virtio/virtio_pci_legacy_dev",
  "drivers/virtio/virtio_pci",
  "net/core/failover",
  "drivers/net/net_failover",
  "drivers/net/virtio_net",
];
/** Only there: loaded when a test asks for it. */
const ON_DEMAND = ["net/core/pktgen"];

/** What boots fast: no search for the clock, no mitigations, no tests of the crypto code. */
const CMDLINE =
  "console=ttyS0 tsc=reliable mitigations=off random.trust_cpu=on cryptomgr.notests quiet loglevel=3";

/** Milliseconds after which packages that don't come can't be had. */
const APT_TIMEOUT = 300_000;

/** The guest can't be had on this machine; the message says why. */
export class GuestUnavailable extends Error {}

/**
 * Downloads and unpacks what isn't there yet, and writes guest.json: where the guest's parts are.
 * @throws {GuestUnavailable}
 */
export function buildGuest() {
  const stamp = join(cache, "release");
  if (!existsSync(stamp)) {
    rmSync(cache, { recursive: true, force: true });
    // Written last, so that it stands for packages that are all there.
    writeFileSync(stamp, download());
  }
  const release = readFileSync(stamp, "utf8");
  writeFileSync(join(cache, "initramfs"), initramfs(release));
  const guest = {
    release,
    kernel: join(unpacked, "boot", `vmlinuz-${release}`),
    initramfs: join(cache, "initramfs"),
    bios: join(unpacked, "usr/share/seabios/bios.bin"),
    vgaBios: join(unpacked, "usr/share/seabios/vgabios-stdvga.bin"),
    cmdline: CMDLINE,
  };
  writeFileSync(join(cache, "guest.json"), JSON.stringify(guest, null, 2));
  return guest;
}

/** Fetches the packages and unpacks what is used of them; the kernel's release. */
function download() {
  for (const folder of ["lists/partial", "archives/partial", "packages"])
    mkdirSync(join(apt, folder), { recursive: true });
  mkdirSync(unpacked, { recursive: true });
  writeFileSync(
    join(apt, "apt.conf"),
    `APT::Architecture "i386";
APT::Architectures { "i386"; };
APT::Sandbox::User "";
Acquire::Languages "none";
Dir::State "${apt}";
Dir::State::lists "${apt}/lists";
Dir::State::status "/dev/null";
Dir::Cache "${apt}";
Dir::Cache::archives "${apt}/archives";
`,
  );
  // A single index that is out of step fails the whole update; what matters is whether the packages are known.
  const update = run("apt-get", "update", "-q");
  const shown = run("apt-cache", "show", "--no-all-versions", "linux-image-686");
  const image = /^Depends: (linux-image-(\S+))/m.exec(shown.stdout);
  if (image === null) throw new GuestUnavailable(`no linux-image-686 for i386 here: ${said(update, shown)}`);
  const [, kernel, release] = image;
  const fetched = run("apt-get", "download", "-q", kernel, "busybox-static", "seabios");
  if (fetched.status !== 0) throw new GuestUnavailable(`apt-get download failed: ${said(fetched)}`);

  for (const file of readdirSync(join(apt, "packages"))) {
    const wanted = basename(file).startsWith("linux-image-")
      ? [`./boot/vmlinuz-${release}`, ...[...MODULES, ...ON_DEMAND].map((name) => modulePath(release, name))]
      : ["./bin/*", "./usr/share/seabios/*"];
    unpack(join(apt, "packages", file), wanted);
  }
  return release;
}

function modulePath(release, name) {
  return `./lib/modules/${release}/kernel/${name}.ko`;
}

/** Unpacks these members of a Debian package; patterns that match nothing are no error. */
function unpack(file, members) {
  const tar = run("dpkg-deb", "--fsys-tarfile", file);
  if (tar.status !== 0) throw new GuestUnavailable(`dpkg-deb could not read ${file}: ${said(tar)}`);
  const options = ["-x", "-C", unpacked, "--wildcards", ...members];
  spawnSync("tar", options, { input: tar.raw, maxBuffer: 1 << 30 });
}

/** busybox, the modules, and /init, which loads them and gives a shell on the serial port. */
function initramfs(release) {
  const busybox = read("bin/busybox", "busybox-static");
  const modules = [...MODULES, ...ON_DEMAND].map((name) => ({
    name: `modules/${basename(name)}.ko`,
    mode: FILE,
    content: read(modulePath(release, name), "the kernel's"),
  }));
  const init = readFileSync(new URL("init.sh", import.meta.url), "utf8").replace(
    "@MODULES@",
    MODULES.map((name) => basename(name)).join(" "),
  );
  const directories = ["bin", "dev", "modules", "proc", "root", "sys", "tmp"];
  return cpio([
    ...directories.map((name) => ({ name, mode: DIRECTORY })),
    { name: "dev/console", mode: CHARACTER_DEVICE, device: [5, 1] },
    { name: "bin/busybox", mode: PROGRAM, content: busybox },
    ...modules,
    { name: "init", mode: PROGRAM, content: Buffer.from(init) },
  ]);
}

function read(path, what) {
  const file = join(unpacked, path);
  if (!existsSync(file)) throw new GuestUnavailable(`${what} package has no ${path}`);
  return readFileSync(file);
}

/** Runs a command in apt's private tree. */
function run(command, ...args) {
  const result = spawnSync(command, args, {
    cwd: join(apt, "packages"),
    env: { ...process.env, APT_CONFIG: join(apt, "apt.conf"), LC_ALL: "C" },
    maxBuffer: 1 << 30,
    timeout: APT_TIMEOUT,
  });
  if (result.error) throw new GuestUnavailable(`${command} can't be run: ${result.error.message}`);
  return {
    status: result.status,
    raw: result.stdout,
    get stdout() {
      return result.stdout.toString();
    },
    stderr: result.stderr.toString(),
  };
}

/** The last thing that was said of an error, on one line. */
function said(...results) {
  const lines = results.flatMap(({ stderr }) => stderr.trim().split("\n"));
  return lines.findLast((line) => line.startsWith("E:")) ?? lines.at(-1) ?? "";
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    console.log(buildGuest());
  } catch (error) {
    if (!(error instanceof GuestUnavailable)) throw error;
    console.error(`skipped: ${error.message}`);
    process.exitCode = 1;
  }
}
