// Writes a chain of convolutions and max-pools as an ONNX model: the few protobuf fields that it takes
// (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto).

const varint = (value) => {
  const bytes = [];
  let left = BigInt(value);
  do {
    bytes.push(Number(left & 127n) | (left > 127n ? 128 : 0));
    left >>= 7n;
  } while (left > 0n);
  return Buffer.from(bytes);
};
const integer = (field, value) => Buffer.concat([varint(field << 3), varint(value)]);
const bytes = (field, content) => {
  const buffer = Buffer.from(content);
  return Buffer.concat([varint((field << 3) | 2), varint(buffer.length), buffer]);
};
const message = (field, ...parts) => bytes(field, Buffer.concat(parts));

const FLOAT = 1;
const attribute = (name, values) =>
  message(5, bytes(1, name), ...values.map((value) => integer(8, value)), integer(20, 7));
const node = (type, inputs, output, attributes) =>
  message(1, ...inputs.map((name) => bytes(1, name)), bytes(2, output), bytes(4, type), ...attributes);
const tensor = (name, dims, values) =>
  message(
    5,
    ...dims.map((dim) => integer(1, dim)),
    integer(2, FLOAT),
    bytes(8, name),
    bytes(9, Buffer.from(values.buffer, values.byteOffset, values.byteLength)),
  );
const valueInfo = (field, name, dims) =>
  message(
    field,
    bytes(1, name),
    message(2, message(1, integer(1, FLOAT), message(2, ...dims.map((dim) => message(1, integer(1, dim)))))),
  );

/**
 * @param stages convolutions {kind, height, width, channels, outHeight, outWidth, filters, size, stride, padding} and
 *   pools {kind, outHeight, outWidth, size, stride, offset} in order
 * @returns the model's bytes, its input `x` being (1, channels, height, width)
 */
export function onnxModel(stages) {
  const parts = [];
  let previous = 'x';
  for (const [index, stage] of stages.entries()) {
    const { size, stride, height, width, outHeight, outWidth } = stage;
    const output = index === stages.length - 1 ? 'y' : `s${index}`;
    const square = (name, value) => attribute(name, [value, value]);
    if (stage.kind === 'convolution') {
      const { filters, channels, padding } = stage;
      const weights = Float32Array.from(
        { length: filters * channels * size * size },
        () => Math.random() - 0.5,
      );
      parts.push(tensor(`w${index}`, [filters, channels, size, size], weights));
      parts.push(tensor(`b${index}`, [filters], new Float32Array(filters)));
      const pads = attribute('pads', [padding, padding, padding, padding]);
      const attributes = [square('kernel_shape', size), square('strides', stride), pads];
      parts.push(node('Conv', [previous, `w${index}`, `b${index}`], output, attributes));
    } else {
      const after = (extent, out) => Math.max(0, (out - 1) * stride + size - stage.offset - extent);
      const pads = [stage.offset, stage.offset, after(height, outHeight), after(width, outWidth)];
      const attributes = [square('kernel_shape', size), square('strides', stride), attribute('pads', pads)];
      parts.push(node('MaxPool', [previous], output, attributes));
    }
    previous = output;
  }
  const first = stages[0];
  const last = stages.at(-1);
  const graph = message(
    7,
    ...parts,
    bytes(2, 'convolutions'),
    valueInfo(11, 'x', [1, first.channels, first.height, first.width]),
    valueInfo(12, 'y', [1, last.filters ?? last.channels, last.outHeight, last.outWidth]),
  );
  return Buffer.concat([integer(1, 8), graph, message(8, bytes(1, ''), integer(2, 13))]);
}
