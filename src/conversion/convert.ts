import type { Backend } from '../engine/backend.js';
import { usageError } from '../errors.js';
import { checkModel } from '../model/bounds.js';
import type { Normalisation, Resize, SpikingLayer, SpikingModel } from '../model/spiking-model.js';
import { createFloatNetwork } from '../network/float-network.js';
import type { Network } from '../network/network.js';
import type { FoldedParameters } from '../network/parameters.js';
import { ActivationMemory, type ActivationStore } from './activation-store.js';
import { type CalibrationPhotos, calibrate } from './calibrate.js';
import { findFrugal } from './frugal.js';
import { type Lambdas, quantise } from './quantise.js';
import {
  corrected,
  FEWEST_TUNING_PHOTOS,
  TUNED_STEPS,
  TUNINGS,
  type TunedLayer,
  type Tuning,
  tune,
  tuningPhotos,
} from './tune.js';

/** Choices made at conversion; they live in the model file. */
export interface ConversionOptions {
  norm: Normalisation;
  /** Percentile of the activations that λ is taken at, 0 < p ≤ 100. */
  percentile: number;
  weightBits: 16 | 8;
  resize: Resize;
  /**
   * What is tuned on the calibration photos, where there are at least 8: λ and biases (`full`), biases, or nothing. `full`
   * fits the counts of a layer-synchronous run of 16 steps.
   */
  tune: Tuning;
  /** `paper`: channel-norm at 99.9 %, λ from the positive activations alone. */
  preset: 'default' | 'paper';
}

export const DEFAULT_CONVERSION: ConversionOptions = {
  norm: 'channel',
  percentile: 99,
  weightBits: 16,
  resize: 'letterbox',
  tune: 'full',
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

/** What is told about a conversion, and what it can go on from. */
export interface ConversionListener {
  /** Called after each photo of each pass of calibration. */
  onPhoto?(done: number, pass: number): void;
  /** Called with the part of tuning that is done, 0..1, and the layer that is next. */
  onTuning?(part: number, layer: string): void;
  /** Where maps wait between layers (default: memory); closed at the end. */
  store?: ActivationStore;
  /** What an earlier conversion of the same network with the same photos and options had found. */
  state?: ConversionState;
  /** Called when λ has been calibrated, and after each layer that was tuned. */
  onState?(state: ConversionState): void;
}

/** What a conversion has found so far. */
export interface ConversionState {
  lambdas: Lambdas;
  photoCount: number;
  tuned: Map<string, TunedLayer>;
}

/** What is tuned by given options with so many photos. */
export const tuningOf = (
  { tune = DEFAULT_CONVERSION.tune, norm, preset }: ConversionOptions,
  photos: number,
): Tuning =>
  photos < FEWEST_TUNING_PHOTOS || preset === 'paper' || (tune === 'full' && norm !== 'channel')
    ? 'none'
    : tune;

/**
 * Converts a trained network to integrate-and-fire neurons: calibrate λ, tune, normalise (eq. 4/5), quantise.
 * Nothing is tuned with fewer than 8 photos, by the preset `paper`, or `full` with a λ that is not a channel's own.
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
  listener: ConversionListener = {},
): Promise<SpikingModel> {
  const { network, parameters, classes, cfgSha256, weightsSha256 } = trained;
  const { norm, percentile, weightBits, resize, preset } = options;
  const { store = new ActivationMemory(), onPhoto, onTuning, onState, state } = listener;
  if (options.tune !== undefined && !TUNINGS.includes(options.tune))
    throw usageError(`tune is "${options.tune}"; expected ${TUNINGS.join(', ')}`);
  const floatNetwork = createFloatNetwork(network, parameters, backend);
  let [tuned, heldOut]: [Map<string, TunedLayer>, Uint8Array[]] = [new Map(), []];
  let [lambdas, photoCount, tuning]: [Lambdas, number, Tuning] = [new Map(), 0, 'none'];
  try {
    const calibration = { norm, percentile, positiveOnly: preset === 'paper' };
    ({ lambdas, photoCount } = state ?? (await calibrate(floatNetwork, photos, calibration, onPhoto)));
    tuning = tuningOf(options, photoCount);
    if (tuning !== 'none') {
      const known = new Map(state?.tuned);
      onState?.({ lambdas, photoCount, tuned: known });
      ({ tuned, heldOut } = await tune({
        network,
        parameters,
        floatNetwork,
        lambdas,
        weightBits,
        tuning,
        photos,
        photoCount,
        backend,
        store,
        known: new Map(known),
        onLayer: (name, layer) => onState?.({ lambdas, photoCount, tuned: known.set(name, layer) }),
        onProgress: onTuning,
      }));
    }
  } finally {
    store.close();
  }
  const model: SpikingModel = {
    network,
    layers: quantiseTuned(network, parameters, lambdas, tuned, weightBits),
    classes,
    resize,
    provenance: {
      norm,
      percentile,
      weightBits,
      preset,
      calibrationPhotos: photoCount,
      ...(tuning === 'none'
        ? {}
        : {
            tuning: { kind: tuning, steps: TUNED_STEPS, photos: tuningPhotos(photoCount).length },
          }),
      cfgSha256,
      weightsSha256,
    },
  };
  checkModel(model);
  const frugal = findFrugal(model, floatNetwork, heldOut, backend, (part) => onTuning?.(part, 'frugal'));
  return frugal ? { ...model, presets: { frugal } } : model;
}

/** As `quantise`, with the λ and the biases that tuning has found. */
function quantiseTuned(
  network: Network,
  parameters: FoldedParameters,
  lambdas: Lambdas,
  tuned: ReadonlyMap<string, TunedLayer>,
  weightBits: 16 | 8,
): SpikingLayer[] {
  const [own, corrections] = [new Map(lambdas), new Map(parameters)];
  for (const [name, { lambda, correction }] of tuned) {
    own.set(name, lambda);
    corrections.set(name, corrected(parameters.get(name), correction));
  }
  return quantise(network, corrections, own, weightBits).map((layer) => {
    const found = tuned.get(layer.name);
    return found ? { ...layer, correction: found.correction } : layer;
  });
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
