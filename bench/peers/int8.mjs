// ONNX Runtime in int8, built as its users would: QuantizeLinear and DequantizeLinear around what is to be computed in whole numbers
// (QDQ), weights int8 per channel, biases int32, activations uint8 between the smallest and the largest value on calibration photos.
import { Model } from '../../dist/formats/onnx/proto.js';

const FLOAT = 1;
const UINT8 = 2;
const INT8 = 3;
const INT32 = 6;

/** What is computed in whole numbers: convolutions and sums, or all that ONNX Runtime has whole-number kernels for. */
export const RECIPES = {
  'conv-add': ['Conv', 'Add'],
  all: [
    'Conv',
    'Add',
    'Mul',
    'Sigmoid',
    'LeakyRelu',
    'HardSigmoid',
    'Concat',
    'MaxPool',
    'Resize',
    'AveragePool',
  ],
};

const bytesOf = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
const tensor = (name, dims, dataType, values) => ({ name, dims, dataType, rawData: bytesOf(values) });

function floatsOf({ dataType = 0, dims = [], rawData, floatData }) {
  if (dataType !== FLOAT) return undefined;
  if (rawData?.length > 0) return new Float32Array(Uint8Array.from(rawData).buffer);
  const count = dims.reduce((product, extent) => product * Number(extent), 1);
  return floatData?.length === count ? Float32Array.from(floatData) : undefined;
}

class Quantiser {
  constructor(bytes, recipe) {
    this.model = Model.toObject(Model.decode(bytes), { longs: Number, defaults: false });
    const { graph } = this.model;
    this.graph = graph;
    graph.initializer ??= [];
    this.constants = new Map(graph.initializer.map((each) => [each.name, each]));
    for (const { opType, output, attribute = [] } of graph.node)
      if (opType === 'Constant') this.constants.set(output[0], attribute.find(({ t }) => t)?.t ?? {});
    this.wanted = graph.node.filter(
      ({ opType, input }) =>
        RECIPES[recipe].includes(opType) && !(opType === 'Conv' && !this.weightsOf(input)),
    );
    this.consumers = new Map();
    for (const node of graph.node)
      for (const name of node.input ?? [])
        this.consumers.set(name, [...(this.consumers.get(name) ?? []), node]);
  }

  weightsOf([, name]) {
    const found = this.constants.get(name);
    return found && floatsOf(found);
  }

  /** Tensors that go through eight bits, by name: inputs and outputs of what is wanted, behind an activation that is fused. */
  tensors() {
    const outputs = new Set(this.graph.output.map(({ name }) => name));
    const names = new Set();
    for (const { opType, input, output } of this.wanted) {
      for (const name of opType === 'Conv' ? input.slice(0, 1) : input)
        if (name !== '' && !this.constants.has(name)) names.add(name);
      const behind = this.consumers.get(output[0]) ?? [];
      // ONNX Runtime drops these where what follows is unsigned
      const fused = behind.length === 1 && ['Relu', 'Clip'].includes(behind[0].opType);
      const name = fused ? behind[0].output[0] : output[0];
      if (!outputs.has(name)) names.add(name);
    }
    return names;
  }

  /** The file with these tensors as outputs, too. */
  observed(names) {
    const output = [...this.graph.output, ...[...names].map((name) => ({ name }))];
    return Model.encode(Model.fromObject({ ...this.model, graph: { ...this.graph, output } })).finish();
  }

  /** The quantised file. @param ranges smallest and largest value of each tensor */
  quantised(ranges) {
    const { graph } = this;
    const opset = this.model.opsetImport.find(({ domain }) => !domain).version;
    // before opset 13 these operators know no channels
    const domain = opset >= 13 ? '' : 'com.microsoft';
    const initializer = [...graph.initializer];
    const scales = new Map();
    const pair = (name) => {
      const [least, most] = ranges.get(name);
      const scale = Math.max((Math.max(most, 0) - Math.min(least, 0)) / 255, 1e-9);
      const zero = Math.min(255, Math.max(0, Math.round(-Math.min(least, 0) / scale)));
      scales.set(name, scale);
      initializer.push(tensor(`${name}/s`, [], FLOAT, Float32Array.of(scale)));
      initializer.push(tensor(`${name}/z`, [], UINT8, Uint8Array.of(zero)));
      const parameters = [`${name}/s`, `${name}/z`];
      return [
        { opType: 'QuantizeLinear', domain, input: [name, ...parameters], output: [`${name}/q`] },
        { opType: 'DequantizeLinear', domain, input: [`${name}/q`, ...parameters], output: [`${name}/dq`] },
      ];
    };
    /** Whole numbers with a scale a channel, and the node that reads them. */
    const perChannel = (name, dims, type, values, channelScales) => {
      initializer.push(tensor(`${name}/q`, dims, type, values));
      initializer.push(tensor(`${name}/s`, [channelScales.length], FLOAT, channelScales));
      const zeros = new (type === INT8 ? Int8Array : Int32Array)(channelScales.length);
      initializer.push(tensor(`${name}/z`, [channelScales.length], type, zeros));
      return {
        opType: 'DequantizeLinear',
        domain,
        input: [`${name}/q`, `${name}/s`, `${name}/z`],
        output: [`${name}/dq`],
        attribute: [{ name: 'axis', type: 2, i: 0 }],
      };
    };
    const wanted = new Set(this.wanted);
    const node = [];
    for (const { name } of graph.input) if (ranges.has(name)) node.push(...pair(name));
    for (const [at, each] of graph.node.entries()) {
      const input = (each.input ?? []).map((name) => (ranges.has(name) ? `${name}/dq` : name));
      if (each.opType === 'Conv' && wanted.has(each) && ranges.has(each.input[0])) {
        const [source, weightName, biasName] = each.input;
        const weights = this.weightsOf(each.input);
        const { dims } = this.constants.get(weightName);
        const filters = Number(dims[0]);
        const size = weights.length / filters;
        const own = Float32Array.from({ length: filters }, (_, f) =>
          Math.max(
            1e-9,
            weights.subarray(f * size, (f + 1) * size).reduce((m, w) => Math.max(m, Math.abs(w)), 0) / 127,
          ),
        );
        const whole = Int8Array.from(weights, (w, i) => Math.round(w / own[Math.floor(i / size)]));
        node.push(perChannel(`${weightName}/w${at}`, dims, INT8, whole, own));
        input[1] = `${weightName}/w${at}/dq`;
        const bias = biasName ? floatsOf(this.constants.get(biasName) ?? {}) : undefined;
        if (bias) {
          const products = own.map((scale) => scale * scales.get(source));
          const wholeBias = Int32Array.from(bias, (b, f) =>
            Math.max(-(2 ** 31), Math.min(2 ** 31 - 1, Math.round(b / products[f]))),
          );
          node.push(perChannel(`${biasName}/b${at}`, [filters], INT32, wholeBias, products));
          input[2] = `${biasName}/b${at}/dq`;
        }
      }
      node.push({ ...each, input });
      for (const name of each.output ?? []) if (ranges.has(name)) node.push(...pair(name));
    }
    // what went over to int8 is not needed twice
    const used = new Set([
      ...graph.output.map(({ name }) => name),
      ...node.flatMap(({ input }) => input ?? []),
    ]);
    const needed = initializer.filter(({ name }) => used.has(name));
    const opsetImport = [...this.model.opsetImport, ...(domain ? [{ domain, version: 1 }] : [])];
    return Model.encode(
      Model.fromObject({ ...this.model, opsetImport, graph: { ...graph, node, initializer: needed } }),
    ).finish();
  }
}

/**
 * Bytes of an ONNX file that computes in int8 what it can.
 *
 * @param bytes of the float32 file
 * @param images calibration photos as the network takes them
 * @param recipe of {@link RECIPES}
 */
export async function quantise(bytes, ort, images, recipe) {
  const quantiser = new Quantiser(bytes, recipe);
  const names = quantiser.tensors();
  const session = await ort.InferenceSession.create(quantiser.observed(names));
  const ranges = new Map();
  for await (const image of images) {
    const found = await session.run({ [session.inputNames[0]]: image });
    for (const name of names) {
      const { type, data } = found[name];
      if (type !== 'float32') continue;
      let [least, most] = ranges.get(name) ?? [0, 0];
      for (const value of data) {
        if (value < least) least = value;
        if (value > most) most = value;
      }
      ranges.set(name, [least, most]);
    }
  }
  await session.release();
  return quantiser.quantised(ranges);
}
