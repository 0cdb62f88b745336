import { SpikingDetector } from '../detection/detector.js';
import { DEFAULT_SETTINGS } from '../detection/settings.js';
import type { Backend } from '../engine/backend.js';
import { FRUGAL_ERROR, type FrugalPreset, type SpikingModel } from '../model/spiking-model.js';
import type { FloatNetwork } from '../network/float-network.js';

/** Largest error of a preset. */
const WORST_ERROR = 0.15;

/** Steps that are tried, fewest first. */
const TRIED = [1, 2, 3, 4, 5, 6, 8, 10, 12, 16];

/**
 * The fewest steps at which a model's outputs are still near the float network's on photos that it was not tuned on: relative
 * error √(Σ‖spiking − float‖² / Σ‖float‖²) over all output layers at most {@link FRUGAL_ERROR}; where none will do, those with
 * the least error, up to .15. Undefined if there are none, or without photos.
 *
 * @param photos (height, width, channels) bytes each
 */
export function findFrugal(
  model: SpikingModel,
  floatNetwork: FloatNetwork,
  photos: readonly Uint8Array[],
  backend: Backend,
  onProgress?: (part: number) => void,
): FrugalPreset | undefined {
  if (photos.length === 0) return undefined;
  const targets = photos.map((pixels) => floatNetwork.forward(pixels).map((map) => map.slice()));
  let norm = 0;
  for (const map of targets.flat()) for (const value of map) norm += value * value;
  let best: FrugalPreset | undefined;
  for (const [i, steps] of TRIED.entries()) {
    onProgress?.(i / TRIED.length);
    const detector = new SpikingDetector(model, { ...DEFAULT_SETTINGS, steps }, backend);
    let error = 0;
    try {
      for (const [photo, pixels] of photos.entries())
        for (const [output, map] of detector.outputMaps(pixels).entries()) {
          const target = targets[photo]![output]!;
          for (let at = 0; at < map.length; at++) error += (map[at]! - target[at]!) ** 2;
        }
    } finally {
      detector.close();
    }
    const found: FrugalPreset = {
      steps,
      coding: 'phase',
      error: Math.sqrt(error / norm),
      photos: photos.length,
    };
    if (found.error <= FRUGAL_ERROR) return found;
    if (found.error < (best?.error ?? WORST_ERROR)) best = found;
  }
  return best;
}
