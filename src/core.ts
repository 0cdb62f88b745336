/** The pipeline's core: no Node module is imported, so that it runs in a browser too. */

export { compileWasm, wasmBackend } from './backend/wasm.js';
export type { WasmModule } from './backend/webassembly.js';
export { ActivationMemory, type ActivationStore, type StoredMap } from './conversion/activation-store.js';
export { type CalibrationOptions, type CalibrationPhotos, calibrate } from './conversion/calibrate.js';
export {
  type ConversionListener,
  type ConversionOptions,
  type ConversionState,
  convertNetwork,
  DEFAULT_CONVERSION,
  type TrainedNetwork,
} from './conversion/convert.js';
export { type BatchNormEpsilon, foldBatchNorm } from './conversion/fold.js';
export { dequantise, type Lambdas, quantise } from './conversion/quantise.js';
export type { TunedLayer, Tuning } from './conversion/tune.js';
export { type Decoder, decodePotential } from './decoding/readout.js';
export {
  type EarlyEnd,
  type ElapsedMs,
  FloatDetector,
  type FloatResult,
  type HeadOptions,
  type OutputMaps,
  SpikingDetector,
  type SpikingResult,
} from './detection/detector.js';
export {
  DEFAULT_SETTINGS,
  type DetectionChoices,
  type DetectionSettings,
  PAPER_SETTINGS,
  type Preset,
  possibleSchedules,
  resolveSettings,
} from './detection/settings.js';
export type {
  Backend,
  BackendName,
  ConvolutionLoad,
  EngineInstance,
  FloatConvolution,
  FloatKernels,
  StageState,
  StageStatistics,
} from './engine/backend.js';
export { type Coding, signedDigits } from './engine/coding.js';
export type { CurveTable } from './engine/curve.js';
export {
  type ConvolutionStage,
  DEFAULT_RUN_OPTIONS,
  type EnginePlan,
  type GatherStage,
  type IslandStage,
  type Method,
  type Neuron,
  type Pool,
  type PoolStage,
  planEngine,
  type RunOptions,
  type Schedule,
  type Stage,
} from './engine/plan.js';
export { referenceBackend } from './engine/reference.js';
export { type EffectiveOperations, type RunStatistics, Simulation } from './engine/simulation.js';
export { type ErrorCode, SpikingYoloError } from './errors.js';
export {
  type AveragePrecision,
  type ClassMatches,
  type GroundTruth,
  type MeanAveragePrecision,
  matchPhoto,
  meanAveragePrecision,
  type PhotoMatches,
} from './evaluation/mean-average-precision.js';
export {
  annEnergyOf,
  annEnergyWithMemory,
  breakEven,
  ENERGY_PJ,
  type Energy,
  energyOf,
  energyWithMemory,
  type FixedWork,
  fixedWork,
  MEMORY_PJ_PER_BYTE,
  type Traffic,
} from './evaluation/work.js';
export { classNames, type ExportedFiles, toCoco, toVoc, toYolo } from './export/formats.js';
export { type DarknetNetwork, parseCfg } from './formats/darknet/cfg.js';
export { parseNames } from './formats/darknet/names.js';
export { parseWeights } from './formats/darknet/weights.js';
export type { Candidate } from './heads/candidate.js';
export type { DetectionOptions } from './heads/detections.js';
export { type Box, type Detection, intersectionOverUnion, suppress } from './heads/nms.js';
export { decodeRegion } from './heads/region.js';
export { decodeTable } from './heads/table.js';
export { decodeYolo } from './heads/yolo.js';
export { type Photo, type Placement, placementOf, resizePhoto } from './image/resize.js';
export { decodeModel, encodeModel } from './model/model-file.js';
export type {
  FrugalPreset,
  ModelChoices,
  Normalisation,
  Provenance,
  Resize,
  SpikingLayer,
  SpikingModel,
  TuningProvenance,
} from './model/spiking-model.js';
export type { Activation, CurveActivation, SlopeActivation } from './network/activations.js';
export { type ActivationObserver, createFloatNetwork, type FloatNetwork } from './network/float-network.js';
export {
  type AddLayer,
  type Anchors,
  type BilinearLayer,
  type ConvolutionalLayer,
  type Head,
  IMAGE,
  type IslandLayer,
  type Layer,
  type MaxPoolLayer,
  type Network,
  type RegionHead,
  type Shape,
  type TableHead,
  type UpsampleLayer,
  type WiringLayer,
  type YoloHead,
} from './network/network.js';
export {
  type FloatPart,
  type NetworkOperations,
  networkOperations,
} from './network/operations.js';
export type { NeuronLayer } from './network/ops/index.js';
export type { FloatMap } from './network/ops/operator.js';
export type { ConvolutionParameters, FoldedParameters, Parameters } from './network/parameters.js';
export { inferShapes } from './network/shapes.js';
export type { TensorGraph, TensorNode } from './tensor/graph.js';
export type { Attributes, Loops } from './tensor/operators.js';
export type { Tensor } from './tensor/tensor.js';
