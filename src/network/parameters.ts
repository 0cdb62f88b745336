/** Trained float parameters of one convolution. */
export interface ConvolutionParameters {
  /** (filters, size, size, channels of a group): channel-last, float32. */
  weights: Float32Array;
  /** (filters). */
  bias: Float32Array;
  /** Batch-normalisation between the convolution and the bias, each (filters). */
  batchNorm?: { scale: Float32Array; mean: Float32Array; variance: Float32Array };
}

/** Parameters by layer name. */
export type Parameters = Map<string, ConvolutionParameters>;

/** Parameters without batch-normalisation: w and b alone. */
export type FoldedParameters = Map<string, Omit<ConvolutionParameters, 'batchNorm'>>;
