import type { TrainedNetwork } from '../../conversion/convert.js';
import { type BatchNormEpsilon, foldBatchNorm } from '../../conversion/fold.js';
import { withPath } from '../../errors.js';
import { readAscii, readModelBytes, readText, sha256 } from '../../files.js';
import { parseCfg } from './cfg.js';
import { parseNames } from './names.js';
import { parseWeights } from './weights.js';

/** Paths of a darknet model. */
export interface DarknetFiles {
  cfg: string;
  weights: string;
  names: string;
}

/** Puts the path before an import error's message. */
function within<T>(path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw withPath(path, error);
  }
}

/**
 * Loads darknet's cfg, weights and names, batch-normalisation folded; throws `FILE`, `CFG`, `WEIGHTS` or `NAMES`.
 *
 * @example
 * ```ts
 * import { loadDarknet } from 'spiking-yolo';
 *
 * const { network, classes } = await loadDarknet({
 *   cfg: 'models/darknet/tiny-yolo-lite-voc.cfg',
 *   weights: 'models/darknet/tiny-yolo-lite-voc.weights',
 *   names: 'models/darknet/voc.names',
 * });
 * console.log(network.input.width, classes.length); // 256 20
 * ```
 */
export async function loadDarknet(files: DarknetFiles, epsilon?: BatchNormEpsilon): Promise<TrainedNetwork> {
  const cfgText = await readAscii(files.cfg);
  const described = within(files.cfg, () => parseCfg(cfgText));
  const classCount = described.network.heads[0]!.classes;
  const namesText = await readText(files.names);
  const classes = within(files.names, () => parseNames(namesText, classCount));
  const weights = await readModelBytes(files.weights);
  const parameters = within(files.weights, () => parseWeights(described, weights));
  return {
    network: described.network,
    parameters: foldBatchNorm(parameters, epsilon),
    classes,
    cfgSha256: sha256(cfgText),
    weightsSha256: sha256(weights),
  };
}
