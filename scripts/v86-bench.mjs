// npm run bench:v86 [-- --rounds N] [-- --packets N] [-- --queues-only] [-- --no-tcp]: our network card in v86 beside
// v86's own. Needs a build; the guest is made of Debian's packages (test/guest).
import { buildGuest, GuestUnavailable } from "../test/guest/build.mjs";
import { runBench } from "./bundle-bench.mjs";

try {
  if (!process.argv.includes("--queues-only")) buildGuest();
  await runBench("v86/main");
} catch (error) {
  if (!(error instanceof GuestUnavailable)) throw error;
  console.error(`bench:v86: ${error.message}; --queues-only needs no guest`);
  process.exitCode = 1;
}
