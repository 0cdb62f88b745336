/** Multiplies each number of a map (H, W, C) by its channel's factor, if there are any. */
export function multiplyChannels(values: Float64Array, factors: Float64Array | undefined): void {
  if (!factors) return;
  const channels = factors.length;
  for (let cell = 0; cell < values.length; cell += channels)
    for (let c = 0; c < channels; c++) values[cell + c]! *= factors[c]!;
}
