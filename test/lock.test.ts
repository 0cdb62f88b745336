import { fork, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { lockFile } from '../dist/lock.js';
import { root } from './support/shared.js';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lock-'));
  file = join(folder, 'found.ndjson');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** When a process held a lock, in nanoseconds of the machine's clock. */
interface Turn {
  from: number;
  to: number;
}

const deadPid = () => spawnSync('true').pid;

describe('lockFile', () => {
  it.each([
    ['no lock', false],
    ['a dead process’s lock', true],
  ])('is got by one of three processes at a time, where there is %s', async (_, dead) => {
    const others = [0, 1, 2].map(() => fork(`${root}test/support/locker.mjs`));
    try {
      let held = 0;
      for (let round = 0; round < 60; round++) {
        const path = join(folder, `${round}.ndjson`);
        if (dead) writeFileSync(`${path}.lock`, `${deadPid()}\n`);
        const turns = await Promise.all(
          others.map(
            (other) =>
              new Promise<Turn | null>((resolve) => {
                other.once('message', (message) => resolve(message as Turn | null));
                other.send(path);
              }),
          ),
        );
        const inOrder = turns.filter((turn) => turn !== null).sort((a, b) => a.from - b.from);
        for (const [i, turn] of inOrder.entries())
          if (i > 0) expect(turn.from).toBeGreaterThanOrEqual(inOrder[i - 1]!.to);
        held += inOrder.length;
      }
      expect(held).toBeGreaterThan(30);
      expect(readdirSync(folder)).toEqual([]);
    } finally {
      for (const other of others) other.kill();
    }
  });

  it('is complete from the start, and gone when it is given free', async () => {
    const release = await lockFile(file);
    expect(Number.parseInt(readFileSync(`${file}.lock`, 'utf8'), 10)).toBe(process.pid);
    await expect(lockFile(file)).rejects.toMatchObject({ code: 'FILE', message: /is writing it/ });
    expect(existsSync(`${file}.lock`)).toBe(true);
    release();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('of a process before this one that had its number is taken over', async () => {
    writeFileSync(`${file}.lock`, `${process.pid} of-another-life\n`);
    (await lockFile(file))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('respects a live lock that was renamed by mistake', async () => {
    writeFileSync(`${file}.lock.0.displaced`, '1 init\n');
    await expect(lockFile(file)).rejects.toMatchObject({ code: 'FILE', message: /process 1 is writing it/ });
    expect(readdirSync(folder)).toEqual(['found.ndjson.lock.0.displaced']);
    writeFileSync(`${file}.lock.0.displaced`, `${deadPid()} gone\n`);
    (await lockFile(file))();
    expect(readdirSync(folder)).toEqual([]);
  });

  it('is one for all names of a file', async () => {
    symlinkSync('found.ndjson', join(folder, 'other.ndjson'));
    writeFileSync(file, '');
    const release = await lockFile(file);
    await expect(lockFile(join(folder, 'other.ndjson'))).rejects.toMatchObject({ code: 'FILE' });
    release();
  });

  it.each([
    ['a folder', () => mkdirSync(`${file}.lock`)],
    ['a link that leads nowhere', () => symlinkSync('nowhere', `${file}.lock`)],
    ['a pipe', () => spawnSync('mkfifo', [`${file}.lock`])],
    ['a device', () => symlinkSync('/dev/zero', `${file}.lock`)],
    ['far too long', () => writeFileSync(`${file}.lock`, 'x'.repeat(1000))],
  ])('that is %s is an error, and stays', async (_, make) => {
    make();
    await expect(lockFile(file)).rejects.toMatchObject({
      code: 'FILE',
      message: /is in the way, and is no lock/,
    });
    expect(readdirSync(folder)).toEqual(['found.ndjson.lock']);
  });

  it('that names nobody is taken over after a while', async () => {
    writeFileSync(`${file}.lock`, '');
    (await lockFile(file))();
    expect(readdirSync(folder)).toEqual([]);
  });
});
