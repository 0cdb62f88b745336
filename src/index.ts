export { BACKENDS, selectBackend } from './backend/select.js';
export * from './core.js';
export { type DarknetFiles, loadDarknet } from './darknet/load.js';
export {
  Detector,
  type DetectorOptions,
  type DetectorResult,
  type PhotoSource,
  readPhoto,
} from './detector.js';
export { drawDetections } from './image/draw.js';
export { decodePhoto } from './image/read-photo.js';
export { listModels } from './model/registry.js';
export { version } from './version.js';
