import { availableParallelism } from 'node:os';
import { selectBackend } from './backend/select.js';
import type { TrainedNetwork } from './conversion/convert.js';
import { type DarknetFiles, loadDarknet } from './darknet/load.js';
import {
  FloatDetector,
  type FloatResult,
  SpikingDetector,
  type SpikingResult,
} from './detection/detector.js';
import {
  DEFAULT_SETTINGS,
  type DetectionSettings,
  type Preset,
  resolveSettings,
} from './detection/settings.js';
import { DEFAULT_RUN_OPTIONS } from './engine/plan.js';
import { reasonOf, SpikingYoloError, usageError } from './errors.js';
import { readPhotoBytes, readShared } from './files.js';
import { decodePhoto } from './image/read-photo.js';
import type { Photo } from './image/resize.js';
import { decodeModel } from './model/model-file.js';
import {
  DEFAULT_MODEL,
  DEFAULT_PAPER_MODEL,
  howToMakePaperModel,
  paperVariant,
  resolveModel,
} from './model/registry.js';
import { RESIZES, type Resize, type SpikingModel } from './model/spiking-model.js';

/** How a {@link Detector} is made. Every field may be left out. */
export interface DetectorOptions extends Partial<DetectionSettings> {
  /** A name of `models/registry.json`, the path of a `.safetensors` file, or its bytes. Default: `tiny-yolo-voc`. */
  model?: string | Uint8Array;
  /** `paper` takes the paper's settings and the model's `-paper` variant. */
  preset?: Preset;
  /** Class names to report; default: all. */
  classes?: readonly string[];
  /** Overrides how the model's photos are resized. */
  resize?: Resize;
  backend?: 'native' | 'wasm' | 'reference';
  /** Instruction set of the native back-end, e.g. `avx2`. */
  isa?: string;
  /** True for the float network instead of spikes: of the model (dequantised), or of `darknet` (as trained). */
  ann?: boolean;
  /** darknet files, for `ann` only. */
  darknet?: DarknetFiles;
  /** Threads that share one photo (native only). Default: all cores. */
  threads?: number;
  /** Adds `spikeChecksum` to results. */
  checksum?: boolean;
}

type Without<T, Other> = { [Key in Exclude<keyof T, keyof Other>]?: undefined };

/** What was found on one photo: with `ann` if the float network ran, with steps and spikes if neurons did. */
export type DetectorResult = { model: string } & (
  | (SpikingResult & Without<FloatResult, SpikingResult>)
  | (FloatResult & Without<SpikingResult, FloatResult>)
);

/** A photo as a path, the bytes of a JPEG, PNG or BMP, or raw pixels. */
export type PhotoSource =
  | string
  | Uint8Array
  | { data: Uint8Array; width: number; height: number; channels: 3 | 4 };

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
  if (model instanceof Uint8Array) return { name: 'bytes', bytes: model };
  const wanted = model ?? (preset === 'paper' ? DEFAULT_PAPER_MODEL : DEFAULT_MODEL);
  const { name, path } = resolveModel(preset === 'paper' ? paperVariant(wanted) : wanted);
  return { name, bytes: await readShared(path) };
}

/** Parses a model, its name put before an error's message; throws `USAGE` if it does not suit the preset. */
export function parseModel({ name, bytes }: ModelSource, preset: Preset | undefined): SpikingModel {
  let model: SpikingModel;
  try {
    model = decodeModel(bytes);
  } catch (error) {
    if (error instanceof SpikingYoloError)
      throw new SpikingYoloError(error.code, `${name}: ${reasonOf(error)}`, { cause: error });
    throw error;
  }
  if (preset === 'paper' && model.provenance.preset !== 'paper') throw usageError(howToMakePaperModel(name));
  return model;
}

/** Threads for one photo: as asked for, else all cores; throws `USAGE`. */
export function threadsFor({ threads = availableParallelism() }: Pick<DetectorOptions, 'threads'>): number {
  if (!(Number.isInteger(threads) && threads >= 1 && threads <= 256)) {
    throw usageError(`threads is ${threads}; expected a whole number from 1 to 256`);
  }
  return threads;
}

const MAX_RAW_PIXELS = 100_000_000;

function rawPhoto(source: Exclude<PhotoSource, string | Uint8Array>): Photo {
  const { data, width, height, channels } = source ?? {};
  const whole = [width, height].every((extent) => Number.isInteger(extent) && extent >= 1);
  if (!whole || width * height > MAX_RAW_PIXELS || (channels !== 3 && channels !== 4)) {
    throw usageError(
      'a photo is a path, the bytes of a picture file (Uint8Array), or raw pixels {data, width, height, channels: 3 | 4}',
    );
  }
  if (!(data instanceof Uint8Array) || data.length !== width * height * channels) {
    throw usageError(
      `raw pixels of ${width}×${height}×${channels} need a Uint8Array of ${width * height * channels} bytes`,
    );
  }
  if (channels === 3) return { width, height, rgb: data };
  return { width, height, rgb: data.filter((_, i) => i % 4 !== 3) };
}

/** Reads a photo from any source; throws `FILE`, `IMAGE` or `USAGE`. */
export async function readPhoto(source: PhotoSource): Promise<Photo> {
  if (typeof source !== 'string' && !(source instanceof Uint8Array)) return rawPhoto(source);
  return decodePhoto(typeof source === 'string' ? await readPhotoBytes(source) : source);
}

/**
 * A loaded detector.
 *
 * ```ts
 * import { Detector } from 'spiking-yolo';
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
 * const { detections } = await detector.detect('samples/cat.jpg');
 * detector.close();
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
  private closed = false;

  private constructor(
    network: SpikingDetector | FloatDetector,
    description: { name: string; classes: readonly string[]; resize: Resize },
    settings: DetectionSettings,
    options: DetectorOptions,
  ) {
    this.network = network;
    this.modelName = description.name;
    this.classes = description.classes;
    this.settings = settings;
    this.resize = options.resize ?? description.resize;
    this.checksum = options.checksum ?? false;
    this.classIds = options.classes?.map((name) => {
      const id = description.classes.indexOf(name);
      if (id < 0)
        throw usageError(`class "${name}" is not one of the model's: ${description.classes.join(', ')}`);
      return id;
    });
  }

  /** Loads a model; throws a {@link SpikingYoloError} if a file, an option or a back-end is not what it should be. */
  static async load(options: DetectorOptions = {}): Promise<Detector> {
    return Detector.fromModel(options.darknet ? undefined : await readModel(options), options);
  }

  /** As {@link load}, from a model that is in memory already (or from `options.darknet`). */
  static async fromModel(source: ModelSource | undefined, options: DetectorOptions): Promise<Detector> {
    const { preset, darknet, ann, resize } = options;
    if (resize !== undefined && !RESIZES.includes(resize)) {
      throw usageError(`resize is "${resize}"; expected ${RESIZES.join(', ')}`);
    }
    if (options.classes !== undefined && !Array.isArray(options.classes)) {
      throw usageError('classes must be an array of names');
    }
    const given = pickSettings(options);
    const unused = ann ? RUN_OPTION_NAMES.filter((name) => given[name] !== undefined) : [];
    if (unused.length > 0)
      throw usageError(`${unused.join(', ')}: the float network (ann) has no such choice`);
    if (ann && options.checksum)
      throw usageError('the float network (ann) has no spikes to take a checksum of');
    const settings = resolveSettings(given, preset);
    const { backend } = selectBackend(options);
    const threads = threadsFor(options);
    if (darknet) {
      if (!ann)
        throw usageError(
          'darknet files are run as a float network only (ann); convert them to a model first',
        );
      const trained: TrainedNetwork = await loadDarknet(darknet);
      const network = new FloatDetector(trained, 'trained', backend);
      return new Detector(
        network,
        { name: darknet.cfg, classes: trained.classes, resize: 'letterbox' },
        settings,
        options,
      );
    }
    const model = parseModel(source!, preset);
    const network = ann
      ? FloatDetector.ofModel(model, backend)
      : new SpikingDetector(model, settings, backend, threads);
    return new Detector(
      network,
      { name: source!.name, classes: model.classes, resize: model.resize },
      settings,
      options,
    );
  }

  /** Detects objects on one photo. `onBlock` is called after each block of time steps and may throw to stop. */
  async detect(source: PhotoSource, onBlock?: (step: number) => void): Promise<DetectorResult> {
    const start = performance.now();
    const photo = await readPhoto(source);
    if (this.closed) throw usageError('this detector is closed');
    const decode = performance.now() - start;
    const result = this.detectPhoto(photo, onBlock);
    result.elapsedMs = { decode, ...result.elapsedMs };
    return { ...result, model: this.modelName } as DetectorResult;
  }

  private detectPhoto(photo: Photo, onBlock?: (step: number) => void): SpikingResult | FloatResult {
    const options = { ...this.settings, classIds: this.classIds, resize: this.resize };
    if (this.network instanceof FloatDetector) return this.network.detect(photo, options);
    return this.network.detect(photo, options, { checksum: this.checksum, onBlock });
  }

  /** Frees the network's memory at once. */
  close(): void {
    this.closed = true;
    if (this.network instanceof SpikingDetector) this.network.close();
  }
}

const RUN_OPTION_NAMES = [
  ...(Object.keys(DEFAULT_RUN_OPTIONS) as (keyof DetectionSettings)[]),
  'decode',
  'readoutDelay',
] as const;

function pickSettings(options: DetectorOptions): Partial<DetectionSettings> {
  const names = Object.keys(DEFAULT_SETTINGS) as (keyof DetectionSettings)[];
  return Object.fromEntries(names.map((name) => [name, options[name]]));
}
