import { describe, expect, it } from 'vitest';
import { referenceBackend } from '../../src/engine/reference.js';
import { neuronResponses } from '../../src/report/activity.js';
import { best } from '../support/backends.js';

describe('a neuron against a constant input (figure 5)', () => {
  const inputs = Array.from({ length: 101 }, (_, i) => (i - 50) / 50);
  const T = 50;

  for (const backend of [best, referenceBackend]) {
    const responses = neuronResponses(inputs, T, backend);
    const of = (neuron: string) => responses.filter((response) => response.neuron === neuron);

    it(`ibt and ibt-memory count leaky(x) within 1/T, on ${backend.name} (${backend.isa})`, () => {
      for (const { neuron, x, target, counts } of [...of('ibt'), ...of('ibt-memory')]) {
        for (const t of [10, T])
          expect(Math.abs(counts[t - 1]! / t - target), `${neuron} at ${x}, t = ${t}`).toBeLessThanOrEqual(
            1 / t + 1e-9,
          );
      }
    });

    it(`if has no negative side and signed a tenfold one, on ${backend.name} (${backend.isa})`, () => {
      for (const { x, counts } of of('if')) if (x <= 0) expect(counts.at(-1)).toBe(0);
      for (const { x, target, counts } of of('signed')) {
        if (x < 0) expect(Math.abs(counts.at(-1)! / T - 10 * target)).toBeLessThanOrEqual(1 / T + 1e-9);
      }
    });
  }
});
