// Float convolutions, for calibration and as the target: products and sums rounded one by one in the order (row, column,
// channel), the bias last; vectors run across filters. Maps are (height, width, channels) without padding; weights are
// (size, size, channels, filters) with filters padded to a multiple of 16.

export function convolveFloat(
  height: i32, width: i32, channels: i32, outHeight: i32, outWidth: i32, filters: i32, size: i32, stride: i32,
  padding: i32, weights: usize, bias: usize, slope: f32, input: usize, output: usize,
): void {
  const padded = (filters + 15) & ~15;
  const tapBytes = <usize>(channels * padded) * 4;
  for (let filter = 0; filter < filters; filter += 4) {
    for (let y = 0; y < outHeight; y++) {
      const firstRow = max<i32>(0, padding - y * stride);
      const endRow = min<i32>(size, height - y * stride + padding);
      for (let x = 0; x < outWidth; ) {
        const firstColumn = max<i32>(0, padding - x * stride);
        const endColumn = min<i32>(size, width - x * stride + padding);
        const inside = firstColumn == 0 && x + 4 <= outWidth && (x + 3) * stride - padding + size <= width;
        // four neighbouring cells share the weights where no border is near
        const step = inside ? <usize>(stride * channels) * 4 : 0;
        let a = f32x4.splat(0);
        let b = a;
        let c = a;
        let d = a;
        for (let i = firstRow; i < endRow; i++) {
          for (let j = firstColumn; j < endColumn; j++) {
            const row = y * stride - padding + i;
            const column = x * stride - padding + j;
            let cell = input + <usize>((row * width + column) * channels) * 4;
            let w = weights + <usize>(i * size + j) * tapBytes + <usize>filter * 4;
            for (let channel = 0; channel < channels; channel++) {
              const values = v128.load(w);
              a = f32x4.add(a, f32x4.mul(values, v128.load32_splat(cell)));
              b = f32x4.add(b, f32x4.mul(values, v128.load32_splat(cell + step)));
              c = f32x4.add(c, f32x4.mul(values, v128.load32_splat(cell + 2 * step)));
              d = f32x4.add(d, f32x4.mul(values, v128.load32_splat(cell + 3 * step)));
              cell += 4;
              w += <usize>padded * 4;
            }
          }
        }
        const biases = v128.load(bias + <usize>filter * 4);
        put(a, biases, slope, output, (y * outWidth + x) * filters + filter, filters - filter);
        if (inside) {
          put(b, biases, slope, output, (y * outWidth + x + 1) * filters + filter, filters - filter);
          put(c, biases, slope, output, (y * outWidth + x + 2) * filters + filter, filters - filter);
          put(d, biases, slope, output, (y * outWidth + x + 3) * filters + filter, filters - filter);
        }
        x += inside ? 4 : 1;
      }
    }
  }
}

/** A depthwise convolution: 4 filters at a time, each with its own channel. */
export function convolveFloatChannels(
  height: i32, width: i32, channels: i32, outHeight: i32, outWidth: i32, size: i32, stride: i32, padding: i32,
  weights: usize, bias: usize, slope: f32, input: usize, output: usize,
): void {
  const padded = (channels + 15) & ~15;
  for (let y = 0; y < outHeight; y++) {
    const firstRow = max<i32>(0, padding - y * stride);
    const endRow = min<i32>(size, height - y * stride + padding);
    for (let x = 0; x < outWidth; x++) {
      const firstColumn = max<i32>(0, padding - x * stride);
      const endColumn = min<i32>(size, width - x * stride + padding);
      for (let filter = 0; filter < channels; filter += 4) {
        let sum = f32x4.splat(0);
        for (let i = firstRow; i < endRow; i++) {
          for (let j = firstColumn; j < endColumn; j++) {
            const cell = (y * stride - padding + i) * width + x * stride - padding + j;
            const values = v128.load(input + <usize>(cell * channels + filter) * 4);
            const w = v128.load(weights + <usize>((i * size + j) * padded + filter) * 4);
            sum = f32x4.add(sum, f32x4.mul(w, values));
          }
        }
        const biases = v128.load(bias + <usize>filter * 4);
        put(sum, biases, slope, output, (y * outWidth + x) * channels + filter, channels - filter);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function put(sum: v128, bias: v128, slope: f32, output: usize, index: i32, count: i32): void {
  const value = f32x4.add(sum, bias);
  const positive = f32x4.gt(value, f32x4.splat(0));
  const result = v128.bitselect(value, f32x4.mul(f32x4.splat(slope), value), positive);
  const at = output + <usize>index * 4;
  if (count >= 4) {
    v128.store(at, result);
    return;
  }
  store<f32>(at, f32x4.extract_lane(result, 0));
  if (count > 1) store<f32>(at, f32x4.extract_lane(result, 1), 4);
  if (count > 2) store<f32>(at, f32x4.extract_lane(result, 2), 8);
}
