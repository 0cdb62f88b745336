export { BACKENDS, type Selection, selectBackend } from './backend/select.js';
export { ActivationFile } from './conversion/activation-file.js';
export * from './core.js';
export {
  DetectionStream,
  type FrameResult,
  type StreamOptions,
} from './detection/stream.js';
export {
  type BatchResult,
  type DetectAllOptions,
  Detector,
  type DetectorOptions,
  type DetectorResult,
  type PhotoSource,
  readPhoto,
  type Without,
} from './detector.js';
export type { ChangeGrid } from './engine/change-map.js';
export type { Failure } from './errors.js';
export {
  type AnnotatedPhoto,
  type EvaluationListener,
  listAnnotatedPhotos,
  type PhotoSet,
} from './evaluation/annotated-photos.js';
export type { Interval, MapIntervals } from './evaluation/bootstrap.js';
export type { AnnScore, Evaluation, NeuroBench, StepScore } from './evaluation/evaluate.js';
export { type EvaluationReport, type Experiment, runExperiment } from './evaluation/experiment.js';
export { parseVocAnnotation } from './evaluation/voc-annotation.js';
export type { DetectedPhoto } from './export/detected-photo.js';
export type { PhotoRecord } from './export/records.js';
export { type DarknetFiles, loadDarknet } from './formats/darknet/load.js';
export { loadOnnx, type OnnxFiles } from './formats/onnx/load.js';
export type { TrainedFiles } from './formats/trained.js';
export { drawDetections } from './image/draw.js';
export type { RawPixels } from './image/raw-photo.js';
export { decodePhoto } from './image/read-photo.js';
export { readResized } from './image/read-resized.js';
export { listModels, type RegisteredModel } from './model/registry.js';
export type { ServerOptions } from './server/options.js';
export { createServer, type DetectionServer, type NamedDetector } from './server/server.js';
export { version } from './version.js';
export { type CameraFrame, type CameraOptions, readCamera } from './video/camera.js';
export { type Frame, type FrameOptions, readFrames } from './video/frames.js';
export type { PhotoOutcome } from './workers/process-photo.js';
