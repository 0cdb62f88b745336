/** Text without control characters, for a terminal: names come from files that others made. */
export const printable = (text: string) => text.replace(/\p{Cc}+/gu, ' ');

const LONGEST = 1000;

/** One line on stderr. */
export function printError(message: string): void {
  const line = printable(message);
  process.stderr.write(`error: ${line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line}\n`);
}
