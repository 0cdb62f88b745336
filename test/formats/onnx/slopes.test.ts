import { describe, expect, it } from 'vitest';
import { DEFAULT_RUN_OPTIONS, planEngine } from '../../../src/engine/plan.js';
import { referenceBackend } from '../../../src/engine/reference.js';
import { Simulation } from '../../../src/engine/simulation.js';
import { decodeModel, encodeModel } from '../../../src/model/model-file.js';
import type { Layer } from '../../../src/network/network.js';
import { fastBackends } from '../../support/backends.js';
import { Builder, convertGraph, random } from '../../support/onnx-graphs.js';

/** PReLU behind a convolution and behind a sum: slopes of nothing, little and much. */
async function network() {
  const b = new Builder();
  const slopes = () => b.constant([6, 1, 1], [0, 0.02, 8, 1, 0.2, random(1, 0.2)[0]! + 0.3]);
  const x = b.add('PRelu', [b.convolution('image', [6, 3, 3]), slopes()]);
  const sum = b.add('PRelu', [b.add('Add', [x, b.convolution(x, [6, 6, 3])]), slopes()]);
  return convertGraph(b.graph(b.convolution(sum, [6, 6, 1])));
}

describe('slopes of each channel', () => {
  it.each(['layered', 'steps'] as const)(
    '%s: every back-end the same bits, close to the float network',
    async (schedule) => {
      const { model, image, float } = await network();
      const again = decodeModel(encodeModel(model));
      expect(again.network).toEqual(model.network);
      const steps = 127;
      const plan = planEngine(again, { ...DEFAULT_RUN_OPTIONS, schedule, steps, gamma: 8 });
      const found = [referenceBackend, ...fastBackends].map((backend) => {
        const simulation = new Simulation(plan, backend, 2);
        simulation.begin(image);
        simulation.advanceTo(steps);
        const counts = ['conv1', 'add1'].map((name) => simulation.state(name).counts);
        const checksum = simulation.checksum();
        simulation.close();
        return { counts, checksum };
      });
      for (const each of found) expect(each).toEqual(found[0]);
      let compared = 0;
      float.forward(image, ({ name }, activation) => {
        const place = ['conv1', 'add1'].indexOf(name);
        if (place < 0) return;
        const { lambda } = again.layers.find((layer) => layer.name === name)!;
        const counts = found[0]!.counts[place]!;
        for (let channel = 0; channel < 6; channel++) {
          // how far counts are from those that the float network's activations are
          let apart = 0;
          const cells = activation.length / 6;
          for (let i = channel; i < activation.length; i += 6)
            apart += (counts[i]! - (activation[i]! * steps) / lambda[channel]!) ** 2 / cells;
          expect(Math.sqrt(apart)).toBeLessThan(1);
          compared++;
        }
      });
      expect(compared).toBe(12);
    },
  );

  it('that a model file gives wrongly are refused', async () => {
    const { model } = await network();
    const withSlopes = (name: string, slope: unknown) => () =>
      decodeModel(
        encodeModel({
          ...model,
          network: {
            ...model.network,
            layers: model.network.layers.map((layer) =>
              layer.name === name ? ({ ...layer, slope } as Layer) : layer,
            ),
          },
        }),
      );
    const good = [1, 0, 0.5, 0.25, 8, 0.001];
    for (const name of ['conv1', 'add1']) {
      expect(withSlopes(name, good)).not.toThrow();
      for (const slope of [
        good.slice(1),
        [...good.slice(1), -0.1],
        [...good.slice(1), 9],
        [...good.slice(1), 1e-4],
      ])
        expect(withSlopes(name, slope)).toThrow();
      for (const slope of [[...good.slice(1), '1'], [], {}, 'steep', 2])
        expect(withSlopes(name, slope)).toThrow();
    }
  });
});
