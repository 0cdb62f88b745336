import { createRequire } from 'node:module';
import { expect, it } from 'vitest';
import { Model } from '../../src/formats/onnx/proto.js';
import {
  describeWithOnnxruntime,
  randomLists,
  runOnnxruntime,
  writeOnnx,
  yolov8Graph,
} from '../support/onnx.js';
import { root } from '../support/shared.js';

interface Node {
  opType: string;
  input: string[];
  output: string[];
  domain?: string;
}

describeWithOnnxruntime('ONNX Runtime in int8, as the benchmark builds it', () => {
  const ort = createRequire(`${root}bench/peers/package.json`)('onnxruntime-node');
  const random = randomLists(11);
  const planes = random(3 * 32 * 32);

  it.each([
    ['conv-add', 13],
    ['all', 13],
    ['conv-add', 11],
  ] as const)(
    '%s at opset %i: computes in eight bits what it says, and about the same',
    async (recipe, opset) => {
      const { quantise } = await import(`${root}bench/peers/int8.mjs`);
      const graph = { ...yolov8Graph(undefined, true), opset };
      // before opset 13 Split has its parts as an attribute
      if (opset < 13) {
        const split = graph.nodes.find(({ op }) => op === 'Split')!;
        split.inputs = ['x4'];
        split.attributes = { axis: 1, split: [4, 2] };
      }
      const bytes = writeOnnx(graph);
      async function* images() {
        yield new ort.Tensor('float32', planes, [1, 3, 32, 32]);
      }
      const whole: Uint8Array = await quantise(bytes, ort, images(), recipe);
      const { graph: written } = Model.toObject(Model.decode(whole)) as {
        graph: { node: Node[]; initializer: { name: string }[] };
      };
      const { node, initializer } = written;
      const producers = new Map(
        node.flatMap((each) => each.output.map((name) => [name, each.opType] as const)),
      );
      for (const { opType, input } of node)
        if (opType === 'Conv')
          expect(input.map((name) => producers.get(name))).toEqual(new Array(3).fill('DequantizeLinear'));
      const sigmoid = node.find(({ opType, output }) => opType === 'Sigmoid' && output[0] === 'gate')!;
      expect(producers.get(sigmoid.input[0]!)).toBe('DequantizeLinear');
      const behind = node.filter(({ opType, input }) => opType === 'QuantizeLinear' && input[0] === 'gate');
      expect(behind).toHaveLength(recipe === 'all' ? 1 : 0);
      expect(initializer.map(({ name }) => name)).not.toContain('w1');
      expect(
        new Set(node.filter(({ opType }) => opType === 'QuantizeLinear').map(({ domain }) => domain || '')),
      ).toEqual(new Set([opset < 13 ? 'com.microsoft' : '']));
      const float = await runOnnxruntime(bytes, planes, 32, 32);
      const int8 = await runOnnxruntime(whole, planes, 32, 32);
      expect(int8.dims).toEqual(float.dims);
      const largest = float.values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
      const apart = float.values.reduce(
        (most, value, i) => Math.max(most, Math.abs(value - int8.values[i]!)),
        0,
      );
      expect(apart).toBeGreaterThan(0);
      expect(apart / largest).toBeLessThan(0.05);
    },
  );
});
