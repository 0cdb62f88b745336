import { withoutSecrets } from '../errors.js';
import type { EvaluationListener } from '../evaluation/annotated-photos.js';
import type { Progress } from './progress.js';

/** Text without control characters, for a terminal: names come from files that others made. */
export const printable = (text: string) => text.replace(/\p{Cc}+/gu, ' ');

/** So many things, in the singular if it is one. */
export const counted = (count: number, thing: string) => `${count} ${thing}${count === 1 ? '' : 's'}`;

const LONGEST = 1000;

/** One line on stderr. */
export function printNote(message: string): void {
  const line = withoutSecrets(printable(message));
  process.stderr.write(`${line.length > LONGEST ? `${line.slice(0, LONGEST)}…` : line}\n`);
}

/** One line on stderr that tells of an error. */
export const printError = (message: string) => printNote(`error: ${message}`);

/** Shows an evaluation's progress, and its failures as they come. */
export const evaluationListener = (progress: Progress, steps: number): EvaluationListener => ({
  onResume: (photos) => {
    progress.skip(photos);
    if (photos > 0) process.stderr.write(`${photos} photos are measured already\n`);
  },
  onBlock: (step) => progress.steps(step, steps),
  onPhoto: () => progress.photo(),
  onUnknownClasses: (names) => {
    progress.clear();
    process.stderr.write(
      `classes that the network does not have, left out: ${printable(names.join(', '))}\n`,
    );
  },
  onFailure: (path, message) => {
    progress.clear();
    printError(`${path}: ${message}`);
  },
});
