import { availableParallelism } from 'node:os';
import { selectBackend } from './backend/select.js';
import type { TrainedNetwork } from './conversion/convert.js';
import {
  FloatDetector,
  type FloatResult,
  SpikingDetector,
  type SpikingResult,
} from './detection/detector.js';
import {
  checkChoices,
  checkPreset,
  classIdsOf,
  type DetectionChoices,
  type DetectionSettings,
  type Preset,
  pickSettings,
  RUN_OPTION_NAMES,
  resolveSettings,
} from './detection/settings.js';
import {
  checkStream,
  DEFAULT_HOLD,
  DetectionStream,
  type FrameLooker,
  LocalLooker,
  type StreamOptions,
} from './detection/stream.js';
import { checkSignal, errorOf, type SpikingYoloError, usageError, withPath } from './errors.js';
import { readPhotoBytes, readShared } from './files.js';
import { loadTrained, mainFile, type TrainedFiles } from './formats/trained.js';
import type { Detection } from './heads/nms.js';
import { type RawPixels, rawPhoto } from './image/raw-photo.js';
import { decodePhoto } from './image/read-photo.js';
import type { Photo } from './image/resize.js';
import { decodeModel } from './model/model-file.js';
import { DEFAULT_MODEL, DEFAULT_PAPER_MODEL, paperVariant, resolveModel } from './model/registry.js';
import type { Resize, SpikingModel } from './model/spiking-model.js';
import type { DetectorPool } from './workers/pool.js';

/** How a {@link Detector} is made. Every field may be left out. */
export interface DetectorOptions extends DetectionChoices {
  /** A name of `models/registry.json`, the path of a `.safetensors` file, or its bytes. Default: `tiny-yolo-plus`. */
  model?: string | Uint8Array;
  backend?: 'native' | 'wasm' | 'reference';
  /** Instruction set of the native back-end, e.g. `avx2`. */
  isa?: string;
  /** True for the float network instead of spikes: of the model (dequantised), or of `trained` (as it is). */
  ann?: boolean;
  /** Files of a trained network, for `ann` only. */
  trained?: TrainedFiles;
  /** Threads that share one photo (native only). Default: all cores. */
  threads?: number;
  /** Worker threads of {@link Detector.detectAll}. Default: as many as cores, which share the `threads`. */
  workers?: number;
  /** Largest photo that is decoded, width × height; at most the usual 100 megapixels. */
  maxPixels?: number;
}

/** The fields of T that Other lacks, absent. */
export type Without<T, Other> = { [Key in Exclude<keyof T, keyof Other>]?: undefined };

/** What was found on one photo: with `ann` if the float network ran, with steps and spikes if neurons did. */
export type DetectorResult = {
  model: string;
  /** Set if the JPEG went through jimp's own decoder (CMYK, or a Node without WebAssembly): its pixels may differ a little. */
  decoder?: 'jpeg-js' | undefined;
} & (
  | (SpikingResult & Without<FloatResult, SpikingResult>)
  | (FloatResult & Without<SpikingResult, FloatResult>)
);

/** A photo as a path, the bytes of a JPEG, PNG, BMP or WebP, or raw pixels. */
export type PhotoSource = string | Uint8Array | RawPixels;

/** A model name as the results give it, and the bytes of its file in memory that threads can share. */
export interface ModelSource {
  name: string;
  bytes: Uint8Array;
}

/** Finds and reads the model that options ask for. */
export async function readModel({
  model,
  preset,
}: Pick<DetectorOptions, 'model' | 'preset'>): Promise<ModelSource> {
  if (model instanceof Uint8Array) return { name: 'bytes', bytes: toShared(model) };
  const wanted = model ?? (preset === 'paper' ? DEFAULT_PAPER_MODEL : DEFAULT_MODEL);
  const { name, path } = resolveModel(preset === 'paper' ? paperVariant(wanted) : wanted);
  return { name, bytes: await readShared(path) };
}

function toShared(bytes: Uint8Array): Uint8Array {
  if (bytes.buffer instanceof SharedArrayBuffer) return bytes;
  const shared = new Uint8Array(new SharedArrayBuffer(bytes.length));
  shared.set(bytes);
  return shared;
}

/** Parses a model, its name put before an error's message; throws `USAGE` if it does not suit the preset. */
export function parseModel({ name, bytes }: ModelSource, preset: Preset | undefined): SpikingModel {
  let model: SpikingModel;
  try {
    model = decodeModel(bytes);
  } catch (error) {
    throw withPath(name, error);
  }
  checkPreset(name, preset, model);
  return model;
}

/** Threads for one photo: as asked for, else all cores; throws `USAGE`. */
export function threadsFor({ threads = availableParallelism() }: Pick<DetectorOptions, 'threads'>): number {
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw usageError(`threads is ${threads}; expected a whole number from 1 to 256`);
  }
  return threads;
}

/** Worker threads of a batch: as asked for, else as many as cores; throws `USAGE`. */
export function workersFor({ workers = availableParallelism() }: Pick<DetectorOptions, 'workers'>): number {
  if (!(Number.isInteger(workers) && workers >= 1 && workers <= 1024)) {
    throw usageError(`workers is ${workers}; expected a whole number from 1 to 1024`);
  }
  return workers;
}

/**
 * Reads a photo from any source; throws `FILE`, `IMAGE` or `USAGE`.
 *
 * @param maxPixels a limit on width × height of a file's photo below the usual 100 megapixels
 *
 * @example
 * ```ts
 * import { readPhoto } from 'spiking-yolo';
 *
 * const { width, height } = await readPhoto('samples/cat.jpg');
 * console.log(width, height); // 451 300
 * ```
 */
export async function readPhoto(source: PhotoSource, maxPixels?: number): Promise<Photo> {
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) return rawPhoto(source);
  return decodePhoto(typeof source === 'string' ? await readPhotoBytes(source) : source, maxPixels);
}

/** How {@link Detector.detectAll} runs. */
export interface DetectAllOptions {
  /** Stops the batch: photos under way end after their present block of time steps. */
  signal?: AbortSignal;
  /** True to give results in the order of the sources instead of as they finish. */
  ordered?: boolean;
}

/** A photo of a batch: its place among the sources, the source itself, and what was found or what was wrong. */
export type BatchResult = { index: number; source: PhotoSource } & (
  | { result: DetectorResult; error?: undefined }
  | { result?: undefined; error: SpikingYoloError | Error }
);

/**
 * A loaded detector.
 *
 * @example
 * ```ts
 * import { Detector } from 'spiking-yolo';
 *
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
 * const { detections } = await detector.detect('samples/cat.jpg');
 * console.log(detections[0].class); // cat
 * await detector.close();
 * ```
 */
export class Detector {
  /** Class names of the model. */
  readonly classes: readonly string[];
  readonly settings: DetectionSettings;
  private readonly modelName: string;
  private readonly network: SpikingDetector | FloatDetector;
  private readonly resize: Resize;
  private readonly classIds: readonly number[] | undefined;
  private readonly checksum: boolean;
  private readonly options: DetectorOptions;
  /** Photos begun in this thread. */
  private runs = 0;
  private closed = false;
  /** Worker threads, from the first batch on. */
  private pool: Promise<DetectorPool> | undefined;
  /** Reads the model again, for what has a network of its own. */
  private readonly model: () => Promise<ModelSource>;
  private readonly streams = new Set<DetectionStream>();

  private constructor(
    network: SpikingDetector | FloatDetector,
    description: { name: string; classes: readonly string[]; resize: Resize },
    settings: DetectionSettings,
    options: DetectorOptions,
    model: () => Promise<ModelSource>,
  ) {
    this.network = network;
    this.options = options;
    this.model = model;
    this.modelName = description.name;
    this.classes = description.classes;
    this.settings = settings;
    this.resize = options.resize ?? description.resize;
    this.checksum = options.checksum ?? false;
    this.classIds = classIdsOf(options, description.classes);
  }

  /**
   * Loads a model; throws a {@link SpikingYoloError} if a file, an option or a back-end is not what it should be.
   *
   * @example
   * ```ts
   * import { Detector } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', steps: 32, classes: ['cat', 'dog'] });
   * console.log(detector.settings.steps); // 32
   * await detector.close();
   * ```
   */
  static async load(options: DetectorOptions = {}): Promise<Detector> {
    if (typeof options !== 'object' || options === null)
      throw usageError('the options of a detector must be an object');
    return Detector.fromModel(options.trained ? undefined : await readModel(options), options, () =>
      readModel(options),
    );
  }

  /** The settings, with which classes are reported and how photos are resized. */
  private get headOptions() {
    return { ...this.settings, classIds: this.classIds, resize: this.resize };
  }

  /** Largest photo that is decoded, in pixels; undefined for the usual limit. */
  get maxPixels(): number | undefined {
    return this.options.maxPixels;
  }

  /**
   * As {@link load}, from a model that is in memory already (or from `options.trained`).
   *
   * @param again reads it once more; default: it stays in memory
   * @internal
   */
  static async fromModel(
    source: ModelSource | undefined,
    options: DetectorOptions,
    again: () => Promise<ModelSource> = async () => source!,
  ): Promise<Detector> {
    const { preset, trained: files, ann } = options;
    checkChoices(options);
    const given = pickSettings(options);
    const unused = ann ? RUN_OPTION_NAMES.filter((name) => given[name] !== undefined) : [];
    if (unused.length > 0)
      throw usageError(`${unused.join(', ')}: the float network (ann) has no such choice`);
    if (ann && preset === 'frugal') throw usageError('the float network (ann) has no preset frugal');
    if (ann && options.checksum)
      throw usageError('the float network (ann) has no spikes to take a checksum of');
    const model = files ? undefined : parseModel(source!, preset);
    const settings = resolveSettings(given, preset, model);
    const { backend } = selectBackend(options);
    const threads = threadsFor(options);
    workersFor(options);
    if (files) {
      if (!ann)
        throw usageError(
          'files of a trained network are run as a float network only (ann); convert them to a model first',
        );
      const trained: TrainedNetwork = await loadTrained(files);
      const network = new FloatDetector(trained, 'trained', backend);
      return new Detector(
        network,
        { name: mainFile(files), classes: trained.classes, resize: trained.resize ?? 'letterbox' },
        settings,
        options,
        again,
      );
    }
    const network = ann
      ? FloatDetector.ofModel(model!, backend)
      : new SpikingDetector(
          model!,
          { ...settings, keepsStates: options.checksum === true },
          backend,
          threads,
        );
    return new Detector(
      network,
      { name: source!.name, classes: model!.classes, resize: model!.resize },
      settings,
      options,
      again,
    );
  }

  /**
   * Detects objects on one photo: a path, the bytes of a JPEG, PNG, BMP or WebP file, or raw pixels. The simulation runs in
   * the calling thread (its `threads` share the work); {@link detectAll} leaves that thread free.
   *
   * @param onBlock called after each block of time steps; may throw to stop
   * Throws `FILE` or `IMAGE` for a photo that cannot be read, `USAGE` for anything else that is none.
   *
   * @example
   * ```ts
   * import { Detector } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
   * const grey = { data: new Uint8Array(64 * 64 * 3).fill(128), width: 64, height: 64, channels: 3 };
   * console.log((await detector.detect(grey)).detections.length); // 0
   * await detector.close();
   * ```
   */
  async detect(source: PhotoSource, onBlock?: (step: number) => void): Promise<DetectorResult> {
    const start = performance.now();
    const photo = await readPhoto(source, this.options.maxPixels);
    if (this.closed) throw usageError('this detector is closed');
    const decode = performance.now() - start;
    return this.detectPhoto(photo, decode, onBlock);
  }

  /**
   * As {@link detect}, on a photo whose decoding took `decode` milliseconds.
   *
   * @internal
   */
  detectPhoto(photo: Photo, decode: number, onBlock?: (step: number) => void): DetectorResult {
    this.runs++;
    const options = this.headOptions;
    const result: SpikingResult | FloatResult =
      this.network instanceof FloatDetector
        ? this.network.detect(photo, options)
        : this.network.detect(photo, options, { checksum: this.checksum, onBlock });
    result.elapsedMs = { decode, ...result.elapsedMs };
    const decoder = photo.decoder ? { decoder: photo.decoder } : {};
    return { ...result, ...decoder, model: this.modelName } as DetectorResult;
  }

  /**
   * Boxes as time steps pass, out of one simulation in the calling thread: every `every` steps and after the last one. The
   * detector must run step by step (`schedule: 'steps'`); breaking out of the loop ends the simulation.
   *
   * @param every steps between two read-outs, a whole number from 1
   *
   * @example
   * ```ts
   * import { Detector } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', schedule: 'steps', steps: 8 });
   * for await (const { step, detections } of detector.steps('samples/cat.jpg', 4))
   *   if (step === 8) console.log(detections[0].class); // cat
   * await detector.close();
   * ```
   */
  async *steps(source: PhotoSource, every = 1): AsyncGenerator<{ step: number; detections: Detection[] }> {
    if (!(Number.isInteger(every) && every >= 1))
      throw usageError(`every is ${every}; expected a whole number from 1`);
    if (!(this.network instanceof SpikingDetector))
      throw usageError('the float network (ann) has no time steps');
    const photo = await readPhoto(source, this.options.maxPixels);
    if (this.closed) throw usageError('this detector is closed');
    const options = this.headOptions;
    const pixels = this.network.resize(photo, this.resize);
    const run = ++this.runs;
    for (const found of this.network.boxesOverTime(pixels, photo, options, every)) {
      yield found;
      if (this.closed) throw usageError('this detector is closed');
      if (this.runs !== run)
        throw usageError(
          'this detector has begun another photo; one is simulated at a time (detectAll has threads)',
        );
    }
  }

  /**
   * Detects objects on the frames of one video, one after another, on a network of its own that is kept from frame to frame: only
   * what changes goes through it, so that a still scene costs next to nothing. A neuron holds its count while that is within `hold`
   * of what the present picture asks for; at .5 results are those of a fresh run, bit for bit, after any number of frames. Throws
   * `USAGE` for a detector that does not run layer by layer with the default neurons and pool.
   *
   * @example
   * ```ts
   * import { Detector } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
   * const stream = detector.stream({ deadZone: 8 });
   * const first = await stream.next('samples/cat.jpg');
   * const again = await stream.next('samples/cat.jpg');
   * console.log(first.changed > 0.5, again.changed, again.spikes, again.detections.length === first.detections.length); // true 0 0 true
   * await detector.close();
   * ```
   */
  stream(options: StreamOptions = {}): DetectionStream {
    if (typeof options !== 'object' || options === null)
      throw usageError('the options of a stream must be an object');
    if (!(this.network instanceof SpikingDetector))
      throw usageError('the float network (ann) has no streams');
    if (this.closed) throw usageError('this detector is closed');
    checkStream(options, this.settings);
    const stream: DetectionStream = new DetectionStream(
      options,
      () => this.openStream(options),
      () => this.streams.delete(stream),
      (photo) => photo,
    );
    this.streams.add(stream);
    return stream;
  }

  private async openStream(given: StreamOptions): Promise<FrameLooker> {
    const { headOptions, checksum, modelName: model, options } = this;
    const source = await this.model();
    if (given.worker) {
      const { ThreadLooker } = await import('./workers/stream-thread.js');
      return new ThreadLooker(source, options, given);
    }
    const network = new SpikingDetector(
      parseModel(source, options.preset),
      this.settings,
      selectBackend(options).backend,
      threadsFor(options),
      given.hold ?? DEFAULT_HOLD,
    );
    const settings = { ...headOptions, checksum, model };
    return new LocalLooker(network, settings, given, (photo) => readPhoto(photo, options.maxPixels));
  }

  /**
   * Detects objects on many photos, spread over worker threads (`options.workers`, default: as many as cores), each
   * with a network of its own. Results come as they finish; sources are taken only as threads become free, so memory
   * stays bounded however many there are. A photo that fails is a result with an `error`, and the others go on; a
   * thread that ends takes only its photo with it, which is tried once more.
   *
   * Throws `ABORTED` when the signal aborts (after what is complete has been given) and `USAGE` if the detector is
   * closed. Breaking out of the loop stops the photos under way.
   *
   * @example
   * ```ts
   * import { Detector } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc', steps: 8 });
   * for await (const { source, result, error } of detector.detectAll(['samples/cat.jpg', 'samples/astronaut.jpg'])) {
   *   console.log(source, error ? error.message : result.detections.length);
   * }
   * await detector.close();
   * ```
   */
  async *detectAll(
    sources: Iterable<PhotoSource> | AsyncIterable<PhotoSource>,
    options: DetectAllOptions = {},
  ): AsyncGenerator<BatchResult> {
    if (this.closed) throw usageError('this detector is closed');
    const iterable =
      typeof sources === 'object' &&
      sources !== null &&
      (Symbol.iterator in sources || Symbol.asyncIterator in sources);
    if (!iterable || sources instanceof Uint8Array)
      throw usageError('detectAll takes an array or another iterable of photos');
    const { signal, ordered } = options ?? {};
    checkSignal(signal);
    this.pool ??= this.startPool();
    const pool = await this.pool;
    async function* tasks() {
      let index = 0;
      for await (const source of sources) yield { index: index++, source };
    }
    for await (const { task, outcome } of pool.run(tasks(), { signal, ordered: ordered === true })) {
      if (outcome.error) yield { ...task, error: errorOf(outcome) };
      else yield { ...task, result: outcome };
    }
  }

  private async startPool(): Promise<DetectorPool> {
    const { options } = this;
    // loaded when needed: a single photo needs no threads
    const { DetectorPool } = await import('./workers/pool.js');
    const model = options.trained ? undefined : await readModel(options);
    return new DetectorPool(model, options, workersFor(options));
  }

  /**
   * Ends the worker threads, if any, and frees the network's memory at once.
   *
   * @example
   * ```ts
   * import { Detector, SpikingYoloError } from 'spiking-yolo';
   *
   * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
   * await detector.close();
   * const error = await detector.detect('samples/cat.jpg').catch((thrown) => thrown);
   * console.log(error.message); // this detector is closed
   * ```
   */
  async close(): Promise<void> {
    this.closed = true;
    if (this.network instanceof SpikingDetector) this.network.close();
    await Promise.all([...this.streams].map((stream) => stream.close()));
    await (await this.pool?.catch(() => undefined))?.close();
  }

  /** As {@link close}: `await using detector = await Detector.load()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}
