import { describe, expect, it } from 'vitest';
import { DEFAULT_RUN_OPTIONS, planEngine } from '../../../src/engine/plan.js';
import { referenceBackend } from '../../../src/engine/reference.js';
import { Simulation } from '../../../src/engine/simulation.js';
import { importGraph } from '../../../src/formats/onnx/import.js';
import { readOnnx } from '../../../src/formats/onnx/proto.js';
import { decodeModel, encodeModel } from '../../../src/model/model-file.js';
import type { SpikingModel } from '../../../src/model/spiking-model.js';
import type { IslandLayer } from '../../../src/network/network.js';
import { fastBackends } from '../../support/backends.js';
import { describeWithOnnxruntime, type WrittenGraph, writeOnnx } from '../../support/onnx.js';
import {
  Builder,
  convertGraph,
  expectAsOnnxruntime,
  HEIGHT,
  random,
  WIDTH,
} from '../../support/onnx-graphs.js';

/** Enough convolutions that what follows is a small part of the network: a map of 16 channels, 3×5 cells. */
function trunk(b: Builder): string {
  const first = b.leaky(b.convolution('image', [24, 3, 5], { strides: [2, 2], pads: [2, 2, 2, 2] }));
  return b.leaky(b.convolution(first, [16, 24, 5], { strides: [2, 2], pads: [2, 2, 2, 2] }));
}

/** Attention as YOLO11 writes it: queries, keys and values of 2 heads, of a convolution's channels. */
function attention(b: Builder, x: string): string {
  const qkv = b.convolution(x, [32, 16, 1]);
  const heads = b.add('Reshape', [qkv, b.integers(1, 2, 16, 15)]);
  const [q, k, v] = b.several('Split', [heads, b.integers(4, 4, 8)], 3, { axis: 2 });
  const products = b.add('MatMul', [b.add('Transpose', [q!], { perm: [0, 1, 3, 2] }), k!]);
  const weights = b.add('Softmax', [b.add('Mul', [products, b.constant([], [0.5])])], { axis: -1 });
  const mixed = b.add('MatMul', [v!, b.add('Transpose', [weights], { perm: [0, 1, 3, 2] })]);
  const joined = b.add('Reshape', [mixed, b.integers(1, 16, 3, 5)]);
  const position = b.convolution(b.add('Reshape', [v!, b.integers(1, 16, 3, 5)]), [16, 1, 3], { group: 16 });
  return b.convolution(b.add('Add', [joined, position]), [16, 16, 1]);
}

/** Squeeze-and-excite: a mean, two tiny layers, and what they multiply. */
function squeeze(b: Builder, x: string, mean: string, hard: boolean): string {
  const inner = b.add('Relu', [b.convolution(mean, [4, 16, 1])]);
  const outer = b.convolution(inner, [16, 4, 1]);
  const gate = hard ? b.add('HardSigmoid', [outer], { alpha: 0.25 }, ['alpha']) : b.add('Sigmoid', [outer]);
  return b.add('Mul', [x, gate]);
}

const gated: [string, (b: Builder, x: string) => string, string[]][] = [
  ['attention', attention, ['MatMul', 'Mul', 'Softmax']],
  [
    'squeeze-and-excite with a global pool and a sigmoid',
    (b, x) => squeeze(b, x, b.add('GlobalAveragePool', [x]), false),
    ['GlobalAveragePool', 'Conv', 'Relu', 'Sigmoid', 'Mul'],
  ],
  [
    'squeeze-and-excite with a mean and a hard sigmoid',
    (b, x) => squeeze(b, x, b.add('ReduceMean', [x], { axes: [2, 3], keepdims: 1 }), true),
    ['ReduceMean', 'Conv', 'Relu', 'HardSigmoid', 'Mul'],
  ],
  [
    'a gate of fully connected layers',
    (b, x) => {
      const flat = b.add('Flatten', [b.add('GlobalAveragePool', [x])]);
      const scores = b.add('Gemm', [flat, b.constant([16, 16], random(256)), b.constant([16], random(16))]);
      const gate = b.add('Reshape', [b.add('Sigmoid', [scores]), b.integers(1, 16, 1, 1)]);
      return b.add('Mul', [gate, x]);
    },
    ['GlobalAveragePool', 'Gemm', 'Sigmoid', 'Mul'],
  ],
  [
    'a map that gates another',
    (b, x) => b.add('Mul', [x, b.add('Sigmoid', [b.convolution(x, [16, 16, 1])])]),
    ['Sigmoid', 'Mul'],
  ],
  [
    'scales and shifts of channels, and a softmax over them',
    (b, x) => {
      const scaled = b.add('Mul', [x, b.constant([1, 16, 1, 1], random(16))]);
      return b.add('Softmax', [b.add('Add', [scaled, b.constant([16, 1, 1], random(16))])], { axis: 1 });
    },
    ['Mul', 'Add', 'Softmax'],
  ],
];

/** A network with an island between convolutions, whose output also goes through wiring. */
function networkWith(build: (b: Builder, x: string) => string): WrittenGraph {
  const b = new Builder();
  const x = trunk(b);
  const island = build(b, x);
  const joined = b.add('Concat', [island, x], { axis: 1 });
  const next = b.leaky(b.convolution(joined, [16, 32, 3]));
  return b.graph(b.convolution(next, [6, 16, 1]));
}

describeWithOnnxruntime('an island gives what onnxruntime gives', () => {
  it.each(gated)('%s', async (_, build) => {
    const kinds = await expectAsOnnxruntime({ ...networkWith(build), opset: 13 });
    expect(kinds.filter((kind) => kind === 'island')).toHaveLength(1);
  });
});

describe('an island', () => {
  it.each(gated)(
    'of %s: every back-end the same bits, close to the float network',
    async (_, build, operators) => {
      const { model, image, float } = await convertGraph(networkWith(build));
      const again = decodeModel(encodeModel(model));
      expect(again.network).toEqual(model.network);
      const plan = planEngine(again, { ...DEFAULT_RUN_OPTIONS, schedule: 'layered', steps: 64 });
      const stage = plan.stages.find(({ kind }) => kind === 'island');
      if (stage?.kind !== 'island') throw new Error('no island');
      expect([...new Set(stage.graph.nodes.map(({ op }) => op))]).toEqual(expect.arrayContaining(operators));
      const found = [referenceBackend, ...fastBackends].map((backend) => {
        const simulation = new Simulation(plan, backend, 2);
        simulation.begin(image);
        simulation.advanceTo(64);
        const { counts } = simulation.state(stage.name);
        const neurons = simulation.statistics().perStage.find(({ name }) => name === stage.name)!;
        expect(neurons.neurons).toBe(16 * 15);
        expect(neurons.spikes).toBe(counts.reduce((sum, count) => sum + Math.abs(count), 0));
        const checksum = simulation.checksum();
        simulation.close();
        return { counts, checksum };
      });
      for (const each of found) expect(each).toEqual(found[0]);
      const { lambda } = again.layers.find(({ name }) => name === stage.name)!;
      let [apart, norm] = [0, 0];
      float.forward(image, (layer, activation) => {
        if (layer.name !== stage.name) return;
        for (const [i, value] of activation.entries()) {
          apart += ((found[0]!.counts[i]! * lambda[i % 16]!) / 64 - value) ** 2;
          norm += value ** 2;
        }
      });
      expect(norm).toBeGreaterThan(0);
      expect(Math.sqrt(apart / norm)).toBeLessThan(0.06);
    },
  );

  it('cannot run step by step', async () => {
    const { model } = await convertGraph(networkWith(gated[1]![1]));
    expect(() => planEngine(model, { ...DEFAULT_RUN_OPTIONS, schedule: 'steps' })).toThrow(
      /the schedule steps cannot run islands, .*: island1; use the schedule layered/,
    );
  });

  it('that is too much of a network is refused with its share and its operators', () => {
    const b = new Builder();
    const x = b.convolution('image', [16, 3, 1]);
    const rows = b.add('Reshape', [x, b.integers(1, 16, HEIGHT * WIDTH)]);
    const products = b.add('MatMul', [b.add('Transpose', [rows], { perm: [0, 2, 1] }), rows]);
    const mixed = b.add('MatMul', [rows, b.add('Softmax', [products], { axis: -1 })]);
    const map = b.add('Reshape', [mixed, b.integers(1, 16, HEIGHT, WIDTH)]);
    expect(() => importGraph(readOnnx(writeOnnx(b.graph(b.convolution(map, [6, 16, 1])))))).toThrow(
      /^9\d\.\d\d % of its operations are neither neurons nor wiring.*at most 5\.00 %.*: island1 \(MatMul, Softmax\)$/,
    );
  });

  it('whose model names another shape, or computes it not, is refused', async () => {
    const b = new Builder();
    const x = trunk(b);
    const { model } = await convertGraph(b.graph(b.convolution(squeeze(b, x, x, false), [6, 16, 1])));
    const changed = (change: (layer: IslandLayer) => Partial<IslandLayer>): SpikingModel => ({
      ...model,
      network: {
        ...model.network,
        layers: model.network.layers.map((layer) =>
          layer.kind === 'island' ? { ...layer, ...change(layer) } : layer,
        ),
      },
    });
    expect(() => encodeModel(changed(() => ({})))).not.toThrow();
    expect(() => encodeModel(changed(() => ({ height: 5, width: 3 })))).toThrow(
      /^layer island1: it puts out 1×16×3×5, not 1×16×5×3$/,
    );
    expect(() => encodeModel(changed(({ graph }) => ({ graph: { ...graph, nodes: [] } })))).toThrow(
      /^layer island1: what it computes does not go together: nothing puts out/,
    );
  });
});
