/**
 * The safetensors container (https://github.com/huggingface/safetensors): an 8-byte little-endian header length, a
 * JSON header {name: {dtype, shape, data_offsets}, __metadata__: {string: string}}, then the tensors' bytes.
 */
import { modelError } from '../errors.js';

const ARRAYS = { I8: Int8Array, I16: Int16Array, I32: Int32Array, F64: Float64Array } as const;
type Dtype = keyof typeof ARRAYS;
export type TensorData = Int8Array | Int16Array | Int32Array | Float64Array;

export interface Tensor {
  shape: number[];
  data: TensorData;
}

export interface Container {
  metadata: Record<string, string>;
  tensors: Map<string, Tensor>;
}

/** Headers larger than this are refused, as by the format's own readers. */
const MAX_HEADER = 100_000_000;

const dtypeOf = (data: TensorData): Dtype =>
  (Object.keys(ARRAYS) as Dtype[]).find((dtype) => data instanceof ARRAYS[dtype])!;

/** Serialises tensors; widest elements first, so that every tensor is aligned, then by name: the same bytes each time. */
export function encodeSafetensors({ metadata, tensors }: Container): Uint8Array<ArrayBuffer> {
  const entries = [...tensors].sort(([a, x], [b, y]) => {
    const width = y.data.BYTES_PER_ELEMENT - x.data.BYTES_PER_ELEMENT;
    return width !== 0 ? width : a < b ? -1 : 1;
  });
  const header: Record<string, unknown> = {
    __metadata__: Object.fromEntries(Object.entries(metadata).sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  let end = 0;
  for (const [name, { shape, data }] of entries) {
    header[name] = { dtype: dtypeOf(data), shape, data_offsets: [end, (end += data.byteLength)] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerLength + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.fill(0x20, 8 + json.length, 8 + headerLength);
  file.set(json, 8);
  let at = 8 + headerLength;
  for (const [, { data }] of entries) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

function parseHeader(bytes: Uint8Array): { header: Record<string, unknown>; dataStart: number } {
  if (bytes.length < 8)
    throw modelError(`the file has ${bytes.length} bytes; even a safetensors header length needs 8`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0, true));
  if (length > MAX_HEADER)
    throw modelError('the file is no .safetensors model (convert makes one of an ONNX or darknet file)');
  if (length > bytes.length - 8) {
    throw modelError(
      `the header should have ${length} bytes, the file has ${bytes.length - 8} after the length: truncated`,
    );
  }
  let header: unknown;
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.slice(8, 8 + length));
    header = JSON.parse(text);
  } catch (error) {
    throw modelError('the header is not JSON: the file is damaged or not safetensors', error);
  }
  if (!isObject(header)) throw modelError('the header is not a JSON object');
  return { header, dataStart: 8 + length };
}

/** Reads a safetensors file; throws `MODEL` if anything in it does not fit. Tensors are views where alignment allows. */
export function decodeSafetensors(bytes: Uint8Array): Container {
  const { header, dataStart } = parseHeader(bytes);
  const { __metadata__: metadata = {}, ...entries } = header;
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === 'string')) {
    throw modelError('the header’s __metadata__ is not a map of strings');
  }
  const tensors = new Map<string, Tensor>();
  const spans: [number, number][] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, data_offsets: offsets } = isObject(entry) ? entry : {};
    const Type =
      typeof dtype === 'string' && Object.hasOwn(ARRAYS, dtype) ? ARRAYS[dtype as Dtype] : undefined;
    const wellFormed =
      Type !== undefined &&
      Array.isArray(shape) &&
      shape.every(isCount) &&
      Array.isArray(offsets) &&
      offsets.length === 2 &&
      offsets.every(isCount);
    if (!wellFormed)
      throw modelError(
        `tensor ${name.slice(0, 60)}: its header entry is malformed or of an unsupported type`,
      );
    const [start, end] = offsets as [number, number];
    const elements = (shape as number[]).reduce((product, extent) => product * extent, 1);
    if (end - start !== elements * Type.BYTES_PER_ELEMENT || dataStart + end > bytes.length) {
      throw modelError(
        `tensor ${name.slice(0, 60)}: bytes ${start} to ${end} do not hold [${String(shape).slice(0, 60)}] ${dtype} values, or lie beyond the file's ${bytes.length} bytes: truncated or damaged`,
      );
    }
    spans.push([start, end]);
    const position = bytes.byteOffset + dataStart + start;
    const aligned = position % Type.BYTES_PER_ELEMENT === 0;
    const data = aligned
      ? new Type(bytes.buffer as ArrayBuffer, position, elements)
      : new Type(new Uint8Array(bytes.subarray(dataStart + start, dataStart + end)).buffer);
    tensors.set(name, { shape: shape as number[], data });
  }
  let covered = 0;
  for (const [start, end] of spans.sort(([a, b], [c, d]) => a - c || b - d)) {
    if (start !== covered)
      throw modelError(`tensors overlap or leave a gap at byte ${Math.min(start, covered)}`);
    covered = end;
  }
  if (dataStart + covered !== bytes.length) {
    throw modelError(`the file has ${bytes.length} bytes, its header describes ${dataStart + covered}`);
  }
  return { metadata: metadata as Record<string, string>, tensors };
}
