/** The pipeline's core: no Node module is imported, so that it runs in a browser too. */

export { compileWasm, wasmBackend } from './backend/wasm.js';
export { type CalibrationOptions, type CalibrationPhotos, calibrate } from './conversion/calibrate.js';
export {
  type ConversionOptions,
  convertNetwork,
  DEFAULT_CONVERSION,
  type TrainedNetwork,
} from './conversion/convert.js';
export { type BatchNormEpsilon, foldBatchNorm } from './conversion/fold.js';
export { dequantise, quantise } from './conversion/quantise.js';
export { type DarknetNetwork, parseCfg } from './darknet/cfg.js';
export { parseNames } from './darknet/names.js';
export { parseWeights } from './darknet/weights.js';
export { type Box, type Detection, intersectionOverUnion, suppress } from './decoding/nms.js';
export { type Decoder, decodePotential } from './decoding/readout.js';
export { decodeRegion } from './decoding/region.js';
export {
  FloatDetector,
  type FloatResult,
  SpikingDetector,
  type SpikingResult,
} from './detection/detector.js';
export {
  DEFAULT_SETTINGS,
  type DetectionSettings,
  PAPER_SETTINGS,
  resolveSettings,
} from './detection/settings.js';
export type { Backend, BackendName, EngineInstance, StageState, StageStatistics } from './engine/backend.js';
export {
  DEFAULT_RUN_OPTIONS,
  type EnginePlan,
  type Neuron,
  type Pool,
  planEngine,
  type RunOptions,
  type Schedule,
} from './engine/plan.js';
export { referenceBackend } from './engine/reference.js';
export { type RunStatistics, Simulation } from './engine/simulation.js';
export * from './errors.js';
export { type Photo, placementOf, resizePhoto } from './image/resize.js';
export { decodeModel, encodeModel } from './model/model-file.js';
export type { Provenance, Resize, SpikingLayer, SpikingModel } from './model/spiking-model.js';
export { createFloatNetwork, type FloatNetwork } from './network/float-network.js';
export * from './network/network.js';
export * from './network/parameters.js';
export { inferShapes } from './network/shapes.js';
