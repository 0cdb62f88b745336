import type { TrainedNetwork } from '../conversion/convert.js';
import { type DarknetFiles, loadDarknet } from './darknet/load.js';
import type { OnnxFiles } from './onnx/load.js';

/** Files of a trained network, of any format that is read. */
export type TrainedFiles = DarknetFiles | OnnxFiles;

/** The file that stands for the network in messages and results. */
export const mainFile = (files: TrainedFiles): string => ('onnx' in files ? files.onnx : files.cfg);

/** Loads a trained network; throws what its format's loader throws. */
export async function loadTrained(files: TrainedFiles): Promise<TrainedNetwork> {
  if (!('onnx' in files)) return loadDarknet(files);
  // what reads it is large, and most starts read a converted model
  const { loadOnnx } = await import('./onnx/load.js');
  return loadOnnx(files);
}
