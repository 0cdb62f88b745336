import type { Backend } from '../engine/backend.js';
import { usageError } from '../errors.js';
import { checkModel } from '../model/bounds.js';
import type { Normalisation, Resize, SpikingModel } from '../model/spiking-model.js';
import { createFloatNetwork } from '../network/float-network.js';
import type { Network } from '../network/network.js';
import type { FoldedParameters } from '../network/parameters.js';
import { type CalibrationPhotos, calibrate } from './calibrate.js';
import { quantise } from './quantise.js';

/** Choices made at conversion; they live in the model file. */
export interface ConversionOptions {
  norm: Normalisation;
  /** Percentile of the activations that λ is taken at, 0 < p ≤ 100. */
  percentile: number;
  weightBits: 16 | 8;
  resize: Resize;
  /** `paper`: channel-norm at 99.9 %, λ from the positive activations alone. */
  preset: 'default' | 'paper';
}

export const DEFAULT_CONVERSION: ConversionOptions = {
  norm: 'channel',
  percentile: 99,
  weightBits: 16,
  resize: 'letterbox',
  preset: 'default',
};

/** The percentile of the paper's section 3.2. */
export const PAPER_PERCENTILE = 99.9;

/** A trained float network ready for conversion. */
export interface TrainedNetwork {
  network: Network;
  parameters: FoldedParameters;
  classes: string[];
  /** How its photos are resized, where the format says so. */
  resize?: Resize;
  cfgSha256: string;
  weightsSha256: string;
}

/**
 * Converts a trained network to integrate-and-fire neurons: calibrate λ, normalise (eq. 4/5), quantise.
 *
 * @example
 * ```ts
 * import { writeFileSync } from 'node:fs';
 * import { convertNetwork, DEFAULT_CONVERSION, encodeModel, loadDarknet, readResized, selectBackend } from 'spiking-yolo';
 *
 * const trained = await loadDarknet({
 *   cfg: 'models/darknet/tiny-yolo-lite-voc.cfg',
 *   weights: 'models/darknet/tiny-yolo-lite-voc.weights',
 *   names: 'models/darknet/voc.names',
 * });
 * const { width, height } = trained.network.input;
 * const options = { ...DEFAULT_CONVERSION, resize: 'stretch' };
 * const photos = () => readResized(['samples/cat.jpg', 'samples/astronaut.jpg'], options.resize, width, height);
 * const model = await convertNetwork(trained, photos, options, selectBackend().backend);
 * writeFileSync('mine.safetensors', encodeModel(model));
 * console.log(model.layers.length); // 7
 * ```
 */
export async function convertNetwork(
  trained: TrainedNetwork,
  photos: CalibrationPhotos,
  options: ConversionOptions,
  backend: Backend,
  onPhoto?: (done: number, pass: number) => void,
): Promise<SpikingModel> {
  const { network, parameters, classes, cfgSha256, weightsSha256 } = trained;
  const { norm, percentile, weightBits, resize, preset } = options;
  const floatNetwork = createFloatNetwork(network, parameters, backend);
  const { lambdas, photoCount } = await calibrate(
    floatNetwork,
    photos,
    { norm, percentile, positiveOnly: preset === 'paper' },
    onPhoto,
  );
  const model: SpikingModel = {
    network,
    layers: quantise(network, parameters, lambdas, weightBits),
    classes,
    resize,
    provenance: {
      norm,
      percentile,
      weightBits,
      preset,
      calibrationPhotos: photoCount,
      cfgSha256,
      weightsSha256,
    },
  };
  checkModel(model);
  return model;
}

/**
 * Gives a network another input size (its convolutions and pools fit any); throws `USAGE` for one that was exported with
 * what it computes behind its output layers, which fits one size only.
 */
export function withInputSize<T extends { network: Network }>(trained: T, size: number): T {
  if (trained.network.tail) {
    const { width, height } = trained.network.input;
    throw usageError(`the network was exported for ${width}×${height} and takes no other size`);
  }
  const network = { ...trained.network, input: { height: size, width: size, channels: 3 } };
  return { ...trained, network };
}
