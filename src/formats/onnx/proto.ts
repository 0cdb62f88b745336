import protobuf from 'protobufjs/light.js';
import { onnxError, reasonOf } from '../../errors.js';
import type { Tensor } from '../../tensor/tensor.js';

/** The part of onnx.proto3 that a detector's file needs (https://github.com/onnx/onnx, onnx/onnx.proto). */
const field = (type: string, id: number, repeated = false) => ({
  type,
  id,
  ...(repeated ? { rule: 'repeated' } : {}),
});
const message = (fields: Record<string, protobuf.IField>): protobuf.IType => ({ fields });
const SCHEMA = {
  nested: {
    ModelProto: message({
      irVersion: field('int64', 1),
      producerName: field('string', 2),
      graph: field('GraphProto', 7),
      opsetImport: field('OperatorSetIdProto', 8, true),
      metadataProps: field('StringStringEntryProto', 14, true),
    }),
    StringStringEntryProto: message({ key: field('string', 1), value: field('string', 2) }),
    OperatorSetIdProto: message({ domain: field('string', 1), version: field('int64', 2) }),
    GraphProto: message({
      node: field('NodeProto', 1, true),
      initializer: field('TensorProto', 5, true),
      input: field('ValueInfoProto', 11, true),
      output: field('ValueInfoProto', 12, true),
    }),
    ValueInfoProto: message({ name: field('string', 1), type: field('TypeProto', 2) }),
    TypeProto: message({ tensorType: field('TensorTypeProto', 1) }),
    TensorTypeProto: message({ elemType: field('int32', 1), shape: field('TensorShapeProto', 2) }),
    TensorShapeProto: message({ dim: field('Dimension', 1, true) }),
    Dimension: message({ dimValue: field('int64', 1), dimParam: field('string', 2) }),
    NodeProto: message({
      input: field('string', 1, true),
      output: field('string', 2, true),
      name: field('string', 3),
      opType: field('string', 4),
      attribute: field('AttributeProto', 5, true),
      domain: field('string', 7),
    }),
    AttributeProto: message({
      name: field('string', 1),
      f: field('float', 2),
      i: field('int64', 3),
      s: field('bytes', 4),
      t: field('TensorProto', 5),
      g: field('GraphProto', 6),
      floats: field('float', 7, true),
      ints: field('int64', 8, true),
      type: field('int32', 20),
    }),
    TensorProto: message({
      dims: field('int64', 1, true),
      dataType: field('int32', 2),
      floatData: field('float', 4, true),
      int32Data: field('int32', 5, true),
      int64Data: field('int64', 7, true),
      name: field('string', 8),
      rawData: field('bytes', 9),
      doubleData: field('double', 10, true),
      externalData: field('StringStringEntryProto', 13, true),
      dataLocation: field('int32', 14),
    }),
  },
};
/** The protobuf message of a whole file. */
export const Model = protobuf.Root.fromJSON(SCHEMA).lookupType('ModelProto');

interface TensorProto {
  dims?: unknown[];
  dataType?: number;
  floatData?: number[];
  int32Data?: number[];
  int64Data?: unknown[];
  doubleData?: number[];
  rawData?: Uint8Array;
  name?: string;
  externalData?: { key?: string; value?: string }[];
  dataLocation?: number;
}

interface AttributeProto {
  name?: string;
  type?: number;
  f?: number;
  i?: unknown;
  s?: Uint8Array;
  t?: TensorProto;
  floats?: number[];
  ints?: unknown[];
}

interface ValueInfo {
  name?: string;
  type?: {
    tensorType?: { elemType?: number; shape?: { dim?: { dimValue?: unknown; dimParam?: string }[] } };
  };
}

interface ModelProto {
  opsetImport?: { domain?: string; version?: unknown }[];
  metadataProps?: { key?: string; value?: string }[];
  graph?: {
    node?: {
      input?: string[];
      output?: string[];
      name?: string;
      opType?: string;
      domain?: string;
      attribute?: AttributeProto[];
    }[];
    initializer?: TensorProto[];
    input?: ValueInfo[];
    output?: ValueInfo[];
  };
}

export type Attribute = number | string | number[] | Tensor;

export interface OnnxNode {
  /** Its name, or its first output's. */
  name: string;
  op: string;
  inputs: string[];
  outputs: string[];
  attributes: Map<string, Attribute>;
}

/** A dimension: a number, or the name of one that is known only when the file is used. */
export type Dimension = number | string;

/** An ONNX file's graph. */
export interface OnnxGraph {
  opset: number;
  nodes: OnnxNode[];
  constants: Map<string, Tensor>;
  inputs: { name: string; dims: Dimension[] }[];
  outputs: { name: string; dims: Dimension[] }[];
  metadata: Map<string, string>;
}

/** Newest and oldest set of operators that is understood. */
const OPSETS = { min: 9, max: 22 };
const MAX_NODES = 5000;

const FLOAT = 1;
const UINT8 = 2;
const INT8 = 3;
const INT32 = 6;
const INT64 = 7;
const BOOL = 9;
const FLOAT16 = 10;
const DOUBLE = 11;
const BYTES: Record<number, number> = {
  [FLOAT]: 4,
  [UINT8]: 1,
  [INT8]: 1,
  [INT32]: 4,
  [INT64]: 8,
  [BOOL]: 1,
  [FLOAT16]: 2,
  [DOUBLE]: 8,
};

/** A whole number of 64 bits, as protobufjs gives it. */
const integerOf = (value: unknown): number => Number(String(value ?? 0));

/** A half-precision number (IEEE 754 binary16). */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY;
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

function tensorOf(proto: TensorProto, what: string): Tensor {
  if (proto.dataLocation === 1 || (proto.externalData?.length ?? 0) > 0) {
    const file = proto.externalData?.find(({ key }) => key === 'location')?.value ?? 'another file';
    throw onnxError(
      `${what}: its data is in "${file.slice(0, 100)}", not in this file; export or save the model with its data inside`,
    );
  }
  const dims = (proto.dims ?? []).map(integerOf);
  const count = dims.reduce((product, extent) => product * extent, 1);
  if (!dims.every((extent) => extent >= 0) || !(count <= 2 ** 28))
    throw onnxError(`${what}: its dimensions are ${dims.join('×')}, which is too many values`);
  const type = proto.dataType ?? 0;
  const width = BYTES[type];
  if (width === undefined) throw onnxError(`${what}: its data type, ${type}, is not supported`);
  const raw = proto.rawData ?? new Uint8Array();
  if (raw.length > 0) {
    if (raw.length !== count * width)
      throw onnxError(`${what}: has ${raw.length} bytes, its dimensions need ${count * width}`);
    const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
    const read: Record<number, (at: number) => number> = {
      [FLOAT]: (at) => view.getFloat32(at, true),
      [UINT8]: (at) => view.getUint8(at),
      [INT8]: (at) => view.getInt8(at),
      [INT32]: (at) => view.getInt32(at, true),
      [INT64]: (at) => Number(view.getBigInt64(at, true)),
      [BOOL]: (at) => view.getUint8(at),
      [FLOAT16]: (at) => halfToNumber(view.getUint16(at, true)),
      [DOUBLE]: (at) => view.getFloat64(at, true),
    };
    return { dims, values: Float64Array.from({ length: count }, (_, i) => read[type]!(i * width)) };
  }
  const lists = [proto.floatData, proto.int32Data, proto.int64Data, proto.doubleData];
  const list = lists.find((values) => values !== undefined && values.length > 0) ?? [];
  if (list.length !== count)
    throw onnxError(`${what}: has ${list.length} values, its dimensions need ${count}`);
  const values = Float64Array.from(list, integerOf);
  return { dims, values: type === FLOAT16 ? values.map(halfToNumber) : values };
}

function attributeOf(proto: AttributeProto, where: string): Attribute | undefined {
  switch (proto.type) {
    case 1:
      return proto.f ?? 0;
    case 2:
      return integerOf(proto.i);
    case 3:
      return new TextDecoder().decode(Uint8Array.from(proto.s ?? []));
    case 4:
      return tensorOf(proto.t ?? {}, where);
    case 6:
      return [...(proto.floats ?? [])];
    case 7:
      return (proto.ints ?? []).map(integerOf);
    default:
      return undefined;
  }
}

const describeValue = ({ name = '', type }: ValueInfo) => ({
  name,
  dims: (type?.tensorType?.shape?.dim ?? []).map(
    ({ dimValue, dimParam }): Dimension => (dimParam ? dimParam : integerOf(dimValue)),
  ),
});

/** Reads an ONNX file; throws `ONNX` for anything else, or for a part of it that cannot be read. */
export function readOnnx(bytes: Uint8Array): OnnxGraph {
  let model: ModelProto;
  try {
    model = Model.decode(bytes) as unknown as ModelProto;
  } catch (error) {
    throw onnxError(`not an ONNX file, or it is damaged (${reasonOf(error)})`, error);
  }
  const { graph } = model;
  if (!graph?.node?.length || !graph.output?.length)
    throw onnxError('not an ONNX file, or it is damaged: it holds no graph');
  if (graph.node.length > MAX_NODES)
    throw onnxError(`the graph has ${graph.node.length} nodes; at most ${MAX_NODES} are supported`);
  const opset = integerOf(model.opsetImport?.find(({ domain }) => !domain || domain === 'ai.onnx')?.version);
  if (!(opset >= OPSETS.min && opset <= OPSETS.max))
    throw onnxError(`the file uses operator set ${opset}; expected ${OPSETS.min} to ${OPSETS.max}`);
  const constants = new Map<string, Tensor>();
  for (const proto of graph.initializer ?? [])
    constants.set(proto.name ?? '', tensorOf(proto, `initializer ${(proto.name ?? '').slice(0, 60)}`));
  const known = new Set([...constants.keys(), ...(graph.input ?? []).map(({ name = '' }) => name)]);
  const nodes = graph.node.map((proto): OnnxNode => {
    const { input = [], output = [], opType = '', attribute = [] } = proto;
    const name = (proto.name || output[0] || opType).slice(0, 100);
    const attributes = new Map<string, Attribute>();
    for (const each of attribute) {
      const value = attributeOf(each, `node ${name}`);
      if (value !== undefined) attributes.set(each.name ?? '', value);
    }
    const op = proto.domain && proto.domain !== 'ai.onnx' ? `${proto.domain}:${opType}` : opType;
    for (const value of input)
      if (value !== '' && !known.has(value))
        throw onnxError(`node ${name}: takes "${value.slice(0, 60)}", which no node before it puts out`);
    for (const value of output) known.add(value);
    return { name, op, inputs: [...input], outputs: [...output], attributes };
  });
  return {
    opset,
    nodes,
    constants,
    inputs: (graph.input ?? []).map(describeValue).filter(({ name }) => !constants.has(name)),
    outputs: graph.output.map(describeValue),
    metadata: new Map((model.metadataProps ?? []).map(({ key = '', value = '' }) => [key, value])),
  };
}
