/** Detectors for browsers. */

export type { DetectionChoices, DetectionSettings } from '../detection/settings.js';
export type { DetectionStream, FrameResult } from '../detection/stream.js';
export type { ChangeGrid } from '../engine/change-map.js';
export { type ErrorCode, SpikingYoloError } from '../errors.js';
export { annEnergyOf, type Energy, energyOf, type FixedWork } from '../evaluation/work.js';
export type { Box, Detection } from '../heads/nms.js';
export type { RawPixels } from '../image/raw-photo.js';
export { type Placement, placementOf } from '../image/resize.js';
export {
  type StepsOptions,
  WebDetector,
  type WebDetectorOptions,
  type WebStream,
  type WebStreamOptions,
} from './detector.js';
export { videoFrames, type WebSource } from './picture.js';
export type { StepResult, WebResult } from './worker.js';
