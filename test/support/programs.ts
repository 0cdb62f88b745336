import { spawnSync } from 'node:child_process';
import { describe } from 'vitest';

/** True if a program is on PATH. */
export const hasProgram = (name: string) => spawnSync('which', [name], { stdio: 'ignore' }).status === 0;

/** True if Python is there, with its usual client of HTTP. */
export const hasPythonRequests = () =>
  spawnSync('python3', ['-c', 'import requests'], { stdio: 'ignore' }).status === 0;

/** `.ci/run` installs all programs and sets this: there a test that would be skipped fails. */
export const programsRequired = process.env.SPIKING_YOLO_REQUIRE_PROGRAMS === '1';

/**
 * `describe` for tests that need a program that is not on every machine: skipped, visibly and by the program's name, where
 * it is absent.
 */
export function describeWithProgram(name: string) {
  const absent = !hasProgram(name) && !programsRequired;
  const named = (title: string) => (absent ? `${title} (skipped: ${name} is not installed)` : title);
  const define =
    (suite: (title: string, tests: () => void) => void) =>
    (title: string, tests: () => void): void =>
      suite(named(title), tests);
  return Object.assign(define(describe.skipIf(absent)), {
    /** The same, skipped for another reason, too. */
    skipIf: (condition: boolean) => define(describe.skipIf(absent || condition)),
  });
}
