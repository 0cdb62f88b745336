import { availableParallelism } from 'node:os';
import { setTimeout } from 'node:timers/promises';
import { loadNative } from '../backend/native.js';
import { selectBackend } from '../backend/select.js';
import { SpikingDetector } from '../detection/detector.js';
import { type DetectionSettings, resolveSettings } from '../detection/settings.js';
import { parseModel, readModel } from '../detector.js';
import { backendError, usageError, withPath } from '../errors.js';
import { listAnnotatedPhotos, type PhotoSet, readGroundTruth } from '../evaluation/annotated-photos.js';
import { EVALUATION_HEAD } from '../evaluation/evaluate.js';
import { matchPhoto, meanAveragePrecision } from '../evaluation/mean-average-precision.js';
import { listPhotos, readModelBytes, sha256 } from '../files.js';
import { type OnnxFiles, preparationOf } from '../formats/onnx/load.js';
import { detectionsOf } from '../heads/detections.js';
import { wholeTable } from '../heads/rows.js';
import { readPhotoFile } from '../image/read-resized.js';
import { type Photo, placementOf, resizePhoto } from '../image/resize.js';
import type { SpikingModel } from '../model/spiking-model.js';
import { isTableHead } from '../network/network.js';
import { median } from './median.js';
import { peerFolder } from './peers.js';

/** What a peer can compute in int8: convolutions and sums, or all that it has kernels for (bench/peers/int8.mjs). */
export const INT8_RECIPES: readonly string[] = ['conv-add', 'all'];

/** How long a peer's threads may go on looking out for work after a run. */
const PAUSE_MS = 50;

/** Runs before boxes are timed. */
const WARM_UP = 3;

/** Photos that int8 ranges are taken from. */
const RANGE_PHOTOS = 24;

/** What is measured of one model. */
export interface ModelBenchmarkOptions {
  /** A name of the registry or a file. */
  model: string;
  photo: string;
  runs: number;
  steps?: number | undefined;
  /** Few rows: the best instruction set, WASM and the peer. */
  quick?: boolean | undefined;
  peer?: PeerOptions | undefined;
  /** Annotated photos for mAP. */
  photos?: PhotoSet | undefined;
}

/** ONNX Runtime's side: the file that the model was converted from. */
export interface PeerOptions {
  name: string;
  onnx: Omit<OnnxFiles, 'names'>;
  /** Folder of photos that int8 is calibrated on; without it float32 alone is measured. */
  calibration?: string | undefined;
  /** What is computed in int8 (bench/peers/int8.mjs). */
  recipe: string;
}

/** A spiking run of the model, or a peer's pass; medians in milliseconds. */
export interface ModelRow {
  what: string;
  threads: number;
  /** From the picture's bytes to the output layers' potentials, islands included; of a peer the whole file. */
  networkMs: number;
  spikesPerNeuron?: number;
  spikeChecksum?: string;
}

export interface ModelBenchmark {
  model: string;
  input: [number, number];
  steps: number;
  /** Runs in turns. */
  runs: number;
  /** What lies behind the output layers, and boxes; the same on every back-end. */
  boxesMs: number;
  rows: ModelRow[];
  /** mAP (11 points) of the spiking network and each peer, of its own outputs. */
  map?: { what: string; map11: number }[];
}

interface Image {
  data: Float32Array;
  dims: number[];
}

interface Session {
  run(image: Image): Promise<{ dims: number[]; data: Float32Array }[]>;
  close(): Promise<void>;
}

interface PeerModule {
  openSession(bytes: Uint8Array, threads: number): Promise<Session>;
  quantiseFile(bytes: Uint8Array, images: AsyncIterable<Image>, recipe: string): Promise<Uint8Array>;
}

/** Back-ends of this machine, the best first. */
function backendsOf(quick: boolean): { what: string; options: { backend?: 'wasm'; isa?: string } }[] {
  let native: string[] = [];
  try {
    native = loadNative().instructionSets.flatMap(({ name, supported }) => (supported ? [name] : []));
  } catch {
    // no addon: WASM is what there is to measure
  }
  const rows = native.filter((name) => name !== 'portable').map((isa) => ({ what: isa, options: { isa } }));
  return [...rows.slice(0, quick ? 1 : rows.length), { what: 'wasm', options: { backend: 'wasm' } }];
}

/** A photo as the ONNX file takes it, (1, 3, height, width). */
function imageFor(
  { network, resize }: SpikingModel,
  { order, mean, deviation }: ReturnType<typeof preparationOf>,
) {
  const { height, width } = network.input;
  const cells = height * width;
  return (photo: Photo): Image => {
    const pixels = resizePhoto(resize, photo, width, height);
    const data = new Float32Array(3 * cells);
    for (let c = 0; c < 3; c++) {
      const from = order === 'BGR' ? 2 - c : c;
      for (let i = 0; i < cells; i++)
        data[c * cells + i] = (pixels[3 * i + from]! - mean[c]!) / deviation[c]!;
    }
    return { data, dims: [1, 3, height, width] };
  };
}

/**
 * A model layer by layer on each back-end of this machine, in turns, and beside it a peer's passes of the file that it was converted
 * from. Throws `USAGE` for a file that is another one, what the model and its photos throw, and `BACKEND` if two back-ends differ.
 */
export async function benchmarkModel(
  options: ModelBenchmarkOptions,
  onProgress: (part: number, what: string) => void,
): Promise<ModelBenchmark> {
  const { photo: photoPath, runs, quick = false, peer } = options;
  const source = await readModel({ model: options.model });
  const model = parseModel(source, undefined);
  const { height, width } = model.network.input;
  const settings = resolveSettings({ steps: options.steps }, undefined, model);
  if (settings.schedule !== 'layered')
    throw usageError('a model is measured layer by layer: at most 127 steps');
  const photo = await readPhotoFile(photoPath);
  const threadCounts = [...new Set([1, availableParallelism()])];
  const closing: (() => unknown)[] = [];
  try {
    const chosenBackends = backendsOf(quick);
    const head = { ...settings, resize: model.resize };
    const boxesMs = boxesOf(model, settings, chosenBackends[0]!.options, photo, runs);
    const spiking = chosenBackends.flatMap(({ what, options: chosen }) => {
      const { backend } = selectBackend(chosen);
      return (what === 'wasm' ? [1] : threadCounts).map((threads) => {
        const detector = new SpikingDetector(model, settings, backend, threads);
        closing.push(() => detector.close());
        return { what, threads, detector, network: [] as number[] };
      });
    });
    const pixels = spiking[0]!.detector.resize(photo, model.resize);
    const peers = peer ? await openPeers(peer, model, threadCounts, closing) : undefined;
    const image = peers?.imageOf(photo);
    for (let run = 0; run < runs; run++) {
      for (const row of spiking) {
        onProgress(run / runs, `run ${run + 1} of ${runs}: ${row.what}`);
        // the first run of each turn is for caches, which another one's had
        row.detector.detectPixels(pixels, photo, head);
        const { elapsedMs } = row.detector.detectPixels(pixels, photo, head);
        row.network.push(elapsedMs.network);
      }
      for (const { session, times } of peers?.sessions ?? []) {
        await session.run(image!);
        const start = performance.now();
        await session.run(image!);
        times.push(performance.now() - start);
        // its threads look out for more work a while, which whoever runs next would pay for
        await setTimeout(PAUSE_MS);
      }
    }
    const rows = spiking.map(({ what, threads, detector, network }): ModelRow => {
      const { spikesPerNeuron } = detector.simulation.statistics();
      const spikeChecksum = detector.simulation.checksum();
      return {
        ...{ what, threads, networkMs: median(network) },
        ...{ spikesPerNeuron, spikeChecksum },
      };
    });
    const differing = rows.find(({ spikeChecksum }) => spikeChecksum !== rows[0]!.spikeChecksum);
    if (differing)
      throw backendError(
        `${rows[0]!.what} has the checksum ${rows[0]!.spikeChecksum}, ${differing.what} ${differing.spikeChecksum}`,
      );
    const peerRows = (peers?.sessions ?? []).map(
      ({ what, threads, times }): ModelRow => ({ what, threads, networkMs: median(times) }),
    );
    const map =
      options.photos && (await scores(options.photos, model, spiking[0]!.detector, peers, onProgress));
    return {
      ...{ model: source.name, input: [height, width], steps: settings.steps, runs, boxesMs },
      rows: [...rows, ...peerRows],
      ...(map ? { map } : {}),
    };
  } finally {
    for (const close of closing) await close();
  }
}

/** Milliseconds of boxes, alone: many detectors in one process would keep the engine from specialising what decodes them. */
function boxesOf(
  model: SpikingModel,
  settings: DetectionSettings,
  options: { backend?: 'wasm'; isa?: string },
  photo: Photo,
  runs: number,
): number {
  const detector = new SpikingDetector(
    model,
    settings,
    selectBackend(options).backend,
    availableParallelism(),
  );
  try {
    const times = Array.from(
      { length: runs + WARM_UP },
      () => detector.detect(photo, { ...settings, resize: model.resize }).elapsedMs.postprocess,
    );
    return median(times.slice(WARM_UP));
  } finally {
    detector.close();
  }
}

type Peers = Awaited<ReturnType<typeof openPeers>>;

/** Sessions of the file, float32 and int8, at each number of threads. */
async function openPeers(
  { name, onnx, calibration, recipe }: PeerOptions,
  model: SpikingModel,
  threadCounts: readonly number[],
  closing: (() => unknown)[],
) {
  const [head] = model.network.heads;
  if (!head || !isTableHead(head)) throw usageError(`--model ${name}: not converted from an ONNX file`);
  const module: PeerModule = await import(`${peerFolder(name)}onnx-file.mjs`);
  const bytes = await readModelBytes(onnx.onnx);
  if (sha256(bytes) !== model.provenance.weightsSha256)
    throw withPath(onnx.onnx, usageError('not the file that this model was converted from'));
  const imageOf = imageFor(model, preparationOf(head.kind, onnx));
  const files: { what: string; bytes: Uint8Array }[] = [{ what: `${name} float32`, bytes }];
  if (calibration !== undefined) {
    const paths = (await listPhotos(calibration)).slice(0, RANGE_PHOTOS);
    if (paths.length === 0) throw usageError(`${calibration}: the folder holds no photo to calibrate with`);
    async function* images() {
      for (const path of paths) yield imageOf(await readPhotoFile(path));
    }
    files.push({ what: `${name} int8`, bytes: await module.quantiseFile(bytes, images(), recipe) });
  }
  const sessions: { what: string; threads: number; session: Session; times: number[] }[] = [];
  for (const { what, bytes: file } of files)
    for (const threads of threadCounts) {
      const session = await module.openSession(file, threads);
      closing.push(() => session.close());
      sessions.push({ what, threads, session, times: [] });
    }
  return { head, imageOf, sessions };
}

/** mAP of what each finds on annotated photos, decoded and thinned out alike. */
async function scores(
  photos: PhotoSet,
  model: SpikingModel,
  detector: SpikingDetector,
  peers: Peers | undefined,
  onProgress: (part: number, what: string) => void,
): Promise<{ what: string; map11: number }[]> {
  const { network, classes, resize } = model;
  const { height, width } = network.input;
  const wanted = { ...EVALUATION_HEAD, allClasses: true, resize };
  // one number of threads: outputs are the same
  const sessions = new Map((peers?.sessions ?? []).map((each) => [each.what, each.session]));
  const matches = new Map(
    ['spiking', ...sessions.keys()].map((what) => [what, [] as ReturnType<typeof matchPhoto>[]]),
  );
  const listed = await listAnnotatedPhotos(photos);
  for (const [done, { path, annotation }] of listed.entries()) {
    onProgress(done / listed.length, `mAP, photo ${done + 1} of ${listed.length}`);
    const truth = await readGroundTruth(annotation, classes, new Set());
    const photo = await readPhotoFile(path);
    const placement = placementOf(resize, photo.width, photo.height, width, height);
    for (const [what, session] of sessions) {
      const outputs = await session.run(peers!.imageOf(photo));
      if (outputs.length !== 1) throw usageError('mAP of a file with several outputs is not measured');
      const { dims, data } = outputs[0]!;
      const { head } = peers!;
      const table = wholeTable(head.kind, { dims, values: Float64Array.from(data) });
      const found = detectionsOf(network, [{ head, output: 0 }], [table], classes, placement, wanted);
      matches.get(what)!.push(matchPhoto(found, truth));
    }
    const maps = detector.outputMaps(detector.resize(photo, resize));
    matches.get('spiking')!.push(matchPhoto(detector.detections(maps, photo, wanted), truth));
  }
  return [...matches].map(([what, all]) => ({ what, map11: meanAveragePrecision(classes, all).map11 }));
}
