import type { TrainedNetwork } from '../../conversion/convert.js';
import { namesError, onnxError, usageError, withPath } from '../../errors.js';
import { readModelBytes, readText, sha256 } from '../../files.js';
import { tableMismatch } from '../../heads/table.js';
import type { Resize } from '../../model/spiking-model.js';
import { TABLE_HEADS, type TableHead } from '../../network/network.js';
import { foldPreparation, type Preparation } from '../../network/preparation.js';
import { parseNames } from '../darknet/names.js';
import { type ImportedGraph, importGraph, networkOf } from './import.js';
import { type OnnxGraph, readOnnx } from './proto.js';
import { parsePythonNames } from './python-names.js';
import { withRawHeads } from './raw-heads.js';

/** An ONNX file and what it does not say itself. */
export interface OnnxFiles {
  onnx: string;
  /** Class names, one a line; not needed where the file's metadata has them. */
  names?: string | undefined;
  head?: TableHead['kind'] | undefined;
  /** Height and width of the input, where the file leaves them open. */
  size?: readonly [number, number] | undefined;
  /**
   * Widths and heights in pixels of anchors, finest stride first, three a stride: the outputs are YOLOv5's raw heads, which
   * are decoded with them.
   */
  anchors?: readonly number[] | undefined;
  /** Overrides of how the head's photos are prepared: bytes are taken in this order, less the mean, over the deviation. */
  order?: 'RGB' | 'BGR' | undefined;
  mean?: readonly number[] | undefined;
  std?: readonly number[] | undefined;
  resize?: Resize | undefined;
}

/** How each head's photos are prepared, as its authors do. */
const PREPARATIONS: Readonly<Record<TableHead['kind'], Preparation>> = {
  nanodet: {
    order: 'BGR',
    mean: [103.53, 116.28, 123.675],
    deviation: [57.375, 57.12, 58.395],
    resize: 'stretch',
  },
  yolox: { order: 'BGR', mean: [0, 0, 0], deviation: [1, 1, 1], resize: 'letterbox:corner' },
  yolov5: { order: 'RGB', mean: [0, 0, 0], deviation: [255, 255, 255], resize: 'letterbox:114' },
  yolov8: { order: 'RGB', mean: [0, 0, 0], deviation: [255, 255, 255], resize: 'letterbox:114' },
  fastestdet: { order: 'BGR', mean: [0, 0, 0], deviation: [255, 255, 255], resize: 'stretch' },
};

/** Three numbers, or one for all channels; throws `USAGE`. */
function perChannel(name: string, values: readonly number[], positive: boolean): [number, number, number] {
  const [first, second = first, third = first] = values;
  const three = [first, second, third];
  const good = three.every(
    (value) => typeof value === 'number' && Number.isFinite(value) && (!positive || value > 0),
  );
  if (!good || (values.length !== 1 && values.length !== 3))
    throw usageError(
      `${name} is ${values.join(', ')}; expected one number or three${positive ? ', above 0' : ''}`,
    );
  return three as [number, number, number];
}

/** How the photos of a head are prepared, as its authors do or as is said otherwise; throws `USAGE`. */
export function preparationOf(
  kind: TableHead['kind'],
  { order, mean, std, resize }: Pick<OnnxFiles, 'order' | 'mean' | 'std' | 'resize'>,
): Preparation {
  const usual = PREPARATIONS[kind];
  return {
    order: order ?? usual.order,
    mean: mean ? perChannel('mean', mean, false) : usual.mean,
    deviation: std ? perChannel('std', std, true) : usual.deviation,
    resize: resize ?? usual.resize,
  };
}

/** The kind of head whose form a file's output has; throws `ONNX` if none or several could be meant. */
function recogniseHead(
  graph: OnnxGraph,
  { input, outputDims }: ImportedGraph,
  classes: number,
): TableHead['kind'] {
  const fitting = TABLE_HEADS.filter(
    (kind) => tableMismatch(kind, outputDims[0]!, classes, input) === undefined,
  );
  // exported with decoding, YOLOX has YOLOv5's form; a file that names its strides is Ultralytics'
  const ultralytics = graph.metadata.has('stride') || graph.metadata.has('names');
  const [kind] = ultralytics ? fitting.filter((each) => each !== 'yolox') : fitting;
  if (kind) return kind;
  throw onnxError(
    `no head is known whose output is ${outputDims[0]!.join('×')} with ${classes} classes; expected one of ${TABLE_HEADS.join(', ')}`,
  );
}

/** The class names of a names file, if one is given. */
async function namesOf(path: string | undefined): Promise<string[] | undefined> {
  if (path === undefined) return undefined;
  const text = await readText(path);
  try {
    const names = parseNames(text);
    if (names.length === 0) throw namesError('names no class; expected one a line');
    return names;
  } catch (error) {
    throw withPath(path, error);
  }
}

/** The class names of a file's metadata. */
function ownNames(graph: OnnxGraph): string[] {
  const written = graph.metadata.get('names');
  if (written === undefined) throw usageError('it names its classes nowhere; add --names FILE, one a line');
  return parsePythonNames(written);
}

const TASKS: Record<string, string> = {
  segment: 'segmentation',
  pose: 'poses',
  obb: 'turned boxes',
  classify: 'whole photos',
};

/**
 * Loads an ONNX file: its network up to the output layers, what it computes behind them, its head and how photos are
 * prepared, which is folded into the first layer. Throws `FILE`, `ONNX`, `NAMES` or `USAGE`.
 *
 * @example
 * ```ts
 * import { loadOnnx } from 'spiking-yolo';
 *
 * try {
 *   const trained = await loadOnnx({ onnx: 'samples/cat.jpg' });
 *   console.log(trained.network.layers.length, trained.classes);
 * } catch ({ code }) {
 *   console.log(code); // ONNX
 * }
 * ```
 */
export async function loadOnnx(files: OnnxFiles): Promise<TrainedNetwork> {
  const bytes = await readModelBytes(files.onnx);
  const names = await namesOf(files.names);
  try {
    return parseOnnx(bytes, { ...files, names });
  } catch (error) {
    throw withPath(files.onnx, error);
  }
}

/** The same from a file's bytes; throws `ONNX`, `NAMES` or `USAGE`. */
export function parseOnnx(
  bytes: Uint8Array,
  options: Omit<OnnxFiles, 'onnx' | 'names'> & { names?: string[] | undefined },
): TrainedNetwork {
  const graph = readOnnx(bytes);
  const task = graph.metadata.get('task') ?? 'detect';
  if (task !== 'detect')
    throw onnxError(
      `the network was trained for ${TASKS[task] ?? task.slice(0, 40)}; only detection is supported (task=detect)`,
    );
  const read = importGraph(graph, options.size);
  const classes = options.names ?? ownNames(graph);
  const { anchors } = options;
  if (anchors && options.head && options.head !== 'yolov5')
    throw usageError(`--anchors decode raw heads of yolov5, not of ${options.head}`);
  if (!anchors && read.outputDims.length !== 1)
    throw onnxError(
      `the file has ${read.outputDims.length} outputs; expected one: a table of boxes (more are segmentation’s, which is not supported, or raw heads of YOLOv5: give their anchors with --anchors)`,
    );
  const imported = anchors ? withRawHeads(read, anchors, classes.length) : read;
  const kind = anchors ? 'yolov5' : (options.head ?? recogniseHead(graph, imported, classes.length));
  const mismatch = tableMismatch(kind, imported.outputDims[0]!, classes.length, imported.input);
  if (mismatch) throw onnxError(mismatch);
  const preparation = preparationOf(kind, options);
  const head: TableHead = { kind, input: imported.tail.outputs[0]!, classes: classes.length };
  const prepared = foldPreparation(
    { ...networkOf(imported), heads: [head] },
    imported.parameters,
    preparation,
  );
  const digest = sha256(bytes);
  return { ...prepared, classes, resize: preparation.resize, cfgSha256: digest, weightsSha256: digest };
}
