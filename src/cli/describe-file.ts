import { possibleSchedules } from '../detection/settings.js';
import { usageError, withPath } from '../errors.js';
import { readModelBytes, readText } from '../files.js';
import { parseCfg } from '../formats/darknet/cfg.js';
import type { OnnxFiles } from '../formats/onnx/load.js';
import { loadTrained } from '../formats/trained.js';
import { neuronLayers } from '../model/bounds.js';
import { decodeModel } from '../model/model-file.js';
import type { Resize, TuningProvenance } from '../model/spiking-model.js';
import type { Network } from '../network/network.js';
import { describeShares, floatShares, networkOperations } from '../network/operations.js';
import { activatedOf } from '../network/ops/index.js';
import { inferShapes } from '../network/shapes.js';
import { printable } from './print.js';

/** What a file is, as far as its format says it. */
interface Described {
  network: Network;
  classes?: readonly string[];
  resize?: Resize | undefined;
  lines?: string[];
}

async function read(path: string, options: Omit<OnnxFiles, 'onnx'>): Promise<Described> {
  if (/\.onnx$/i.test(path)) return loadTrained({ onnx: path, ...options });
  try {
    if (/\.safetensors$/i.test(path)) {
      const model = decodeModel(await readModelBytes(path));
      const { weightBits, norm, percentile, calibrationPhotos, tuning } = model.provenance;
      const how = `${weightBits}-bit weights, ${norm} norm at ${percentile} %, calibrated on ${calibrationPhotos} photos, ${describeTuning(tuning)}`;
      return { ...model, lines: [`model: ${how}`] };
    }
    if (/\.cfg$/i.test(path)) return parseCfg(await readText(path));
  } catch (error) {
    throw withPath(path, error);
  }
  throw usageError(`${path}: its name ends in none of .onnx, .cfg and .safetensors`);
}

/** How often each of some words occurs, most often first: `silu 57, linear 6`. */
function tally(words: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([word, count]) => `${word} ${count}`).join(', ');
}

/** What was tuned at conversion: `λ and biases tuned on 24 photos for 16 steps`. */
export const describeTuning = (tuning: TuningProvenance | undefined): string =>
  tuning
    ? `${tuning.kind === 'full' ? 'λ and biases' : 'biases'} tuned on ${tuning.photos} photos for ${tuning.steps} steps`
    : 'not tuned';

const millions = (count: number) => `${(count / 1e6).toFixed(count < 1e8 ? 2 : 0)} M`;

/** Lines that say what would become of a network's file; throws what its format's loader throws. */
export const describeFile = async (path: string, options: Omit<OnnxFiles, 'onnx'>): Promise<string[]> =>
  describeNetwork(await read(path, options));

/** Lines that say what a network is and what becomes of it. */
/** A class as one line of a terminal takes it. */
const nameOf = (name: string) => (name.length > 40 ? `${printable(name.slice(0, 40))}…` : printable(name));

export function describeNetwork({ network, classes, resize, lines = [] }: Described): string[] {
  const { input, layers, heads, tail } = network;
  const shapes = inferShapes(network);
  const neurons = neuronLayers(network);
  let firing = 0;
  for (const { layer, fires } of neurons) {
    const { height, width, channels } = shapes.get(layer.name)!;
    if (fires) firing += height * width * channels;
  }
  const operations = networkOperations(network);
  return [
    ...lines,
    `input: ${input.width}×${input.height}${resize ? `, ${resize}` : ''}`,
    ...(classes
      ? [
          `classes: ${classes.length} (${classes.slice(0, 3).map(nameOf).join(', ')}${classes.length > 3 ? ', …' : ''})`,
        ]
      : []),
    `heads: ${heads.map(({ kind }) => kind).join(', ')}${tail ? `, behind ${tail.nodes.length} operations in floats` : ''}`,
    `layers: ${tally(layers.map(({ kind }) => kind))}`,
    `activations: ${tally(neurons.map(({ layer }) => activatedOf(layer).activation))}`,
    `neurons: ${millions(firing)}`,
    `multiply-adds: ${millions(operations.multiplications)} a photo in the float network`,
    ...operations.islands.map(({ name, operators }) => `${name}: ${operators.join(', ')}`),
    ...describeShares(floatShares(operations)),
    `it converts; schedules: ${possibleSchedules(network).join(', ')}`,
  ];
}
