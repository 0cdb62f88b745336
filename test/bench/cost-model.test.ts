import { describe, expect, it } from 'vitest';
import { fitCosts, leastSquares } from '../../src/bench/cost-model.js';
import type { Method } from '../../src/engine/plan.js';
import { randomNumbers } from '../support/plans.js';

describe('leastSquares', () => {
  it('finds the line through points, and the best one near them', () => {
    expect(
      leastSquares(
        [
          [1, 0],
          [1, 1],
          [1, 2],
        ],
        [3, 5, 7],
      ),
    ).toEqual([3, 2]);
    const [offset, slope] = leastSquares(
      [
        [1, 0],
        [1, 1],
        [1, 2],
      ],
      [0, 0, 3],
    );
    expect([offset, slope]).toEqual([expect.closeTo(-0.5), expect.closeTo(1.5)]);
  });
});

describe('fitCosts', () => {
  it('finds the costs that times were made of', () => {
    const random = randomNumbers(3);
    const [neuron, pair, event, list] = [0.8, 0.13, 0.26, 8];
    const layers = Array.from({ length: 7 }, (_, i) => ({
      name: `conv${i + 2}`,
      neurons: 1000 * (1 + Math.floor(random() * 500)),
      density: random(),
      denseMultiplications: 1,
      load: {
        everyWord: 1e6 * (2 + random()),
        dense: 1e6 * (1 + random()),
        events: 1e6 * random(),
        lists: 1e4 * random(),
        blocks: 4,
        eventBlocks: i % 2 === 0 ? 4 : 0,
      },
      msPerStep: 0,
    }));
    const timed = (method: Method | undefined) =>
      layers.map((layer) => {
        const { everyWord, dense, events, lists } = layer.load;
        const work =
          method === 'events'
            ? events * event + lists * list
            : pair * (method === 'every-word' ? everyWord : dense);
        return { ...layer, msPerStep: (layer.neurons * 64 * neuron + work) / 64 / 1e6 };
      });
    const model = fitCosts({ isa: 'avx2', weightBits: 8, steps: 64 }, timed);
    expect(model.neuronNanoseconds).toBeCloseTo(neuron);
    expect(model.pairNanoseconds).toBeCloseTo(pair);
    expect(model.eventPair).toBeCloseTo(event / pair);
    expect(model.eventList).toBeCloseTo(list / pair);
    expect(model.meanError).toBeCloseTo(0);
    expect(model.layers.map(({ chosenByEvents }) => chosenByEvents)).toEqual([1, 0, 1, 0, 1, 0, 1]);
  });
});
