import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, it } from 'vitest';
import { addonPaths } from '../src/backend/native.js';
import { describeWithProgram } from './support/programs.js';
import { root } from './support/shared.js';

const elsewhere = process.arch !== 'x64' || !addonPaths.some((path) => existsSync(path));

// an instruction that the CPU does not have ends the process: nothing compiled for another instruction set may run
describeWithProgram('qemu-x86_64').skipIf(elsewhere)('the addon on an x64 CPU without AVX', () => {
  it('detects the cat with the checksum that this machine has', () => {
    const args = `${root}dist/cli/main.js detect ${root}samples/cat.jpg --model tiny-yolo-lite-voc --steps 4 --checksum --format json`;
    const run = (program: string, ...before: string[]) =>
      JSON.parse(execFileSync(program, [...before, ...args.split(' ')], { encoding: 'utf8' }))[0];
    const old = run('qemu-x86_64', '-cpu', 'Nehalem', process.execPath);
    const here = run(process.execPath);
    expect(old.backend).toEqual({ name: 'native', isa: 'sse2' });
    expect(old.spikeChecksum).toBe(here.spikeChecksum);
    expect(old.detections).toEqual(here.detections);
  });
});
