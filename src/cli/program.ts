/** The command line as a function, so that a test can call it. */
import { Command, CommanderError } from "commander";
import { CompareFailure, CompareInputError } from "../compare/errors.ts";
import { CaptureError } from "../net/pcap.ts";
import { runCompare } from "./compare.ts";
import { addCompareOptions, addRepeated, type CompareFlags } from "./compare-options.ts";
import { type Context, EXIT } from "./context.ts";
import { UsageError } from "./errors.ts";
import { OutputFileError } from "./files.ts";
import { type Compared, settleFlags } from "./system-options.ts";
import { runSystems, type SystemsFlags } from "./systems.ts";

const INPUT_ERRORS = [UsageError, CaptureError, CompareInputError, OutputFileError];

/** Runs the command line; its exit code. What is wrong with the input is one line on stderr. */
export async function main(args: readonly string[], context: Context): Promise<number> {
  let code: number = EXIT.ok;
  const program = createProgram(context, async (flags, compared) => {
    code = await runCompare(flags, compared, context);
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    // Commander has shown what there is to show: an error, or the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.badInput;
    const failed = error instanceof CompareFailure;
    if (!failed && !INPUT_ERRORS.some((type) => error instanceof type)) throw error;
    context.stderr.write(`vring: ${oneLine((error as Error).message)}\n`);
    return failed ? EXIT.failed : EXIT.badInput;
  }
}

function createProgram(
  context: Context,
  compare: (flags: CompareFlags, compared?: Compared) => Promise<void>,
): Command {
  const { stdout, stderr } = context;
  const program = new Command("vring")
    .description("Virtio rings in one fixed buffer: what each way of managing packet buffers costs.")
    .version(context.version)
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      outputError: (text, write) => write(`vring: ${oneLine(text.replace(/^error: /, ""))}\n`),
    })
    .helpCommand(true)
    .allowExcessArguments()
    .action(() => {
      const [command] = program.args;
      const wrong =
        command === undefined ? "a command is missing" : `${JSON.stringify(command)} is no command`;
      throw new UsageError(`${wrong}; vring --help lists them`);
    });
  const command = program
    .command("compare")
    .allowExcessArguments(false)
    .description(
      "What ways of managing indirect tables, buffers and copies cost, in packets a second through virtio rings.",
    );
  addCompareOptions(command).action((given: CompareFlags) => {
    const { flags, compared } = settleFlags(
      given,
      (option) => command.getOptionValueSource(option) === "cli",
    );
    return compare(flags, compared);
  });
  const systems = program
    .command("systems")
    .allowExcessArguments(false)
    .description("Every system that can be compared: who copies what, and what it is made of.")
    .option("--json", "as JSON, with each record and the way of a packet through it");
  addRepeated(systems, "--system-file <file>", "a record of your own, listed beside the others; repeatable");
  systems.action((flags: SystemsFlags) => runSystems(flags, context));
  return program;
}

/** File names may have line breaks and terminal escapes in them; a message stays one plain line. */
function oneLine(text: string): string {
  return text.trim().replace(/[\p{Cc}\p{Cf}]+/gu, " ");
}
