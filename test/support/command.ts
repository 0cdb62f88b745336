import { spawnSync } from 'node:child_process';
import { expect } from 'vitest';
import { root } from './shared.js';

/** The command line as it ships (`npm test` builds it first). */
export function run(args: string[], options: { env?: NodeJS.ProcessEnv; cwd?: string } = {}) {
  const { status, stdout, stderr, signal } = spawnSync(
    process.execPath,
    [`${root}dist/cli/main.js`, ...args],
    {
      encoding: 'utf8',
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
    },
  );
  return { status, stdout, stderr, signal };
}

/** Expects one clear line on stderr, nothing on stdout that looks like success, and no stack trace. */
export function expectError(result: ReturnType<typeof run>, status: number, message: RegExp) {
  expect(result.stderr).toMatch(message);
  expect(result.stderr).not.toMatch(/\n\s+at /);
  expect(
    result.stderr
      .trim()
      .split('\n')
      .filter((line) => line.startsWith('error:')),
  ).toHaveLength(1);
  expect(result.status).toBe(status);
}
