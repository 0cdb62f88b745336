import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe } from 'vitest';

/** The folder of weights and photos that are not ours to ship; it lies beside the checkout. */
export const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));

export const hasShared = existsSync(`${shared}data`);

/** `describe` for tests that need that folder: skipped, visibly, only where it is absent. */
export const describeWithShared = describe.skipIf(!hasShared);

/** Darknet files of YOLO-LITE trial3. */
export const trial3 = {
  cfg: `${shared}data/weights/yolo-lite/tiny-yolov2-trial3.cfg`,
  weights: `${shared}data/weights/yolo-lite/tiny-yolov2-trial3.weights`,
  names: `${shared}models/tiny-yolo-lite-voc/voc.names`,
};

/** Darknet files of `tiny-yolo-voc`. */
export const tinyYoloVoc = {
  cfg: `${shared}models/tiny-yolo-voc/tiny-yolo-voc.cfg`,
  weights: `${shared}models/tiny-yolo-voc/tiny-yolo-voc.weights`,
  names: `${shared}models/tiny-yolo-voc/voc.names`,
};

/** This checkout. */
export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Darknet files of the small model, in the repository. */
export const lite = {
  cfg: `${root}models/darknet/tiny-yolo-lite-voc.cfg`,
  weights: `${root}models/darknet/tiny-yolo-lite-voc.weights`,
  names: `${root}models/darknet/voc.names`,
};

/** The default model's ONNX file, in the repository, and how its photos are prepared. */
export const plus = {
  onnx: `${root}models/onnx/tiny-yolo-plus.onnx`,
  names: `${root}models/onnx/coco.names`,
  preparation: ['--order', 'RGB', '--mean', '0', '--std', '255'],
};
