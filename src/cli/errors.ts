/** The command line asks for something that cannot be; the message is one line that says what would be right. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
