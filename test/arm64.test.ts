import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { serialize } from 'node:v8';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { referenceBackend } from '../src/engine/reference.js';
import { Simulation } from '../src/engine/simulation.js';
import { randomCase } from './support/plans.js';
import { root } from './support/shared.js';

/** An arm64 Node, run through qemu-user; `.ci/run` sets it after it has cross-compiled the addon. */
const arm64Node = process.env.SPIKING_YOLO_ARM64_NODE;

describe.skipIf(!arm64Node)('the arm64 addon under emulation', () => {
  const run = (args: string[]) =>
    execFileSync('qemu-aarch64', ['-L', '/usr/aarch64-linux-gnu', arm64Node!, ...args], {
      encoding: 'utf8',
      cwd: root,
    });

  it.each(['neon-dot', 'neon', 'portable'])(
    '%s equals the reference bit for bit on random networks',
    (isa) => {
      const cases = fc.sample(randomCase, 120);
      const expected = cases.map(({ plan, pixels, steps }) => {
        const simulation = new Simulation(plan, referenceBackend);
        simulation.begin(pixels);
        simulation.advanceTo(steps);
        const { spikes, synapticOperations, clipped } = simulation.statistics();
        return `${isa} ${simulation.checksum()} ${spikes} ${synapticOperations} ${clipped}`;
      });
      const folder = mkdtempSync(join(tmpdir(), 'arm64-'));
      try {
        writeFileSync(join(folder, 'cases'), serialize(cases));
        const found = run([`${root}test/support/run-cases.mjs`, join(folder, 'cases'), isa])
          .trim()
          .split('\n');
        expect(found).toEqual(expected);
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    },
  );

  it('detects the cat with the checksum that this machine has', () => {
    const args = [
      `${root}dist/cli/main.js`,
      'detect',
      `${root}samples/cat.jpg`,
      '--model',
      'tiny-yolo-lite-voc',
      '--steps',
      '4',
      '--checksum',
      '--format',
      'json',
    ];
    const [there] = JSON.parse(run(args));
    const [here] = JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }));
    expect(there.backend).toMatchObject({ name: 'native', isa: 'neon-dot' });
    expect(there.spikeChecksum).toBe(here.spikeChecksum);
    expect(there.detections).toEqual(here.detections);
  });
});
