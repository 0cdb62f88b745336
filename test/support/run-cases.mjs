// Runs serialised random networks on the addon of whatever processor runs this: node run-cases.mjs FILE ISA.
// Prints one line a case: checksum and statistics. Started by test/arm64.test.ts under an emulator.
import { readFileSync } from 'node:fs';
import { deserialize } from 'node:v8';
import { loadNative } from '../../dist/backend/native.js';
import { Simulation } from '../../dist/engine/simulation.js';

const [file, isa] = process.argv.slice(2);
const { backend } = loadNative(isa);
for (const { plan, pixels, steps, threads } of deserialize(readFileSync(file))) {
  const simulation = new Simulation(plan, backend, threads);
  simulation.begin(pixels);
  simulation.advanceTo(steps);
  const { spikes, synapticOperations, clipped } = simulation.statistics();
  console.log(`${backend.isa} ${simulation.checksum()} ${spikes} ${synapticOperations} ${clipped}`);
  simulation.close();
}
