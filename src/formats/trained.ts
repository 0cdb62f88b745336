import type { TrainedNetwork } from '../conversion/convert.js';
import { type DarknetFiles, loadDarknet } from './darknet/load.js';
import { loadOnnx, type OnnxFiles } from './onnx/load.js';

/** Files of a trained network, of any format that is read. */
export type TrainedFiles = DarknetFiles | OnnxFiles;

/** The file that stands for the network in messages and results. */
export const mainFile = (files: TrainedFiles): string => ('onnx' in files ? files.onnx : files.cfg);

/** Loads a trained network; throws what its format's loader throws. */
export const loadTrained = (files: TrainedFiles): Promise<TrainedNetwork> =>
  'onnx' in files ? loadOnnx(files) : loadDarknet(files);
