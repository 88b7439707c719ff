/** What a value of a record may be, with the words that tell a reader what would be right. */
import * as v from "valibot";

/** One of the names. */
export function oneOf<const T extends readonly string[]>(...names: T) {
  return v.picklist(names, plural(names));
}

/** A whole number from `least` to `most`. */
export function whole(least: number, most: number) {
  const right = `a whole number from ${least} to ${most} is`;
  return v.pipe(v.number(right), v.integer(right), v.minValue(least, right), v.maxValue(most, right));
}

/** One of the numbers. */
export function number<const T extends readonly number[]>(...numbers: T) {
  return v.picklist(numbers, plural(numbers));
}

/** The name, or a whole number from `least` to `most`. */
export function nameOrWhole<const T extends string>(name: T, least: number, most: number) {
  return v.custom<T | number>(
    (value) => value === name || (Number.isInteger(value) && Number(value) >= least && Number(value) <= most),
    `${name} and a whole number from ${least} to ${most} are`,
  );
}

export function yesOrNo() {
  return v.boolean("true and false are");
}

/** Text of at least one character and of one line. */
export function line() {
  const right = "a line of text is";
  return v.pipe(v.string(right), v.regex(/^[^\p{Cc}]+$/u, right));
}

/** All of the fields and no other. */
export function object<const T extends v.ObjectEntries>(entries: T) {
  const known = Object.keys(entries);
  return v.strictObject(entries, ({ expected, path }) => {
    if (path === undefined) return `an object with ${known.join(", ")} is`;
    return expected === "never" ? `there is no such field; ${plural(known)}` : "it is missing";
  });
}

type Kinds = Record<string, v.ObjectEntries>;
type Flat<T> = { [K in keyof T]: T[K] };
type OneKind<T extends Kinds> = {
  [K in keyof T & string]: Flat<{ kind: K } & v.InferOutput<v.StrictObjectSchema<T[K], undefined>>>;
}[keyof T & string];

/** One of the kinds, each with fields of its own. */
export function oneKind<const T extends Kinds>(kinds: T): v.GenericSchema<OneKind<T>> {
  const objects = Object.entries(kinds).map(([kind, fields]) => object({ kind: v.literal(kind), ...fields }));
  return v.variant("kind", objects, plural(Object.keys(kinds))) as unknown as v.GenericSchema<OneKind<T>>;
}

/** Values of a list, at least one and none twice. */
export function someOf<const T extends readonly string[]>(...names: T) {
  const right = `a list of ${names.join(", ")} is`;
  return v.pipe(
    v.array(oneOf(...names), right),
    v.minLength(1, right),
    v.check((list) => new Set(list).size === list.length, right),
    v.readonly(),
  );
}

function plural(names: readonly (string | number)[]): string {
  return `${names.join(", ")} ${names.length === 1 ? "is" : "are"}`;
}
