import type { DetectionChoices, DetectionSettings } from '../detection/settings.js';
import { checkStream, DetectionStream, type FrameLooker, type StreamOptions } from '../detection/stream.js';
import type { Schedule } from '../engine/plan.js';
import {
  abortedError,
  backendError,
  checkSignal,
  fileError,
  imageError,
  reasonOf,
  SpikingYoloError,
  usageError,
} from '../errors.js';
import type { FixedWork } from '../evaluation/work.js';
import type { RawPixels } from '../image/raw-photo.js';
import { Caller } from './calls.js';
import { kindOf, type TakenPicture, takePicture, type WebSource } from './picture.js';
import type { Load, Loaded, Methods, StepResult, WebResult } from './worker.js';

/** How a {@link WebDetector} is made: its model, and what can be chosen of a detector anywhere. */
export interface WebDetectorOptions extends DetectionChoices {
  /** A `.safetensors` model: where it is, or its bytes. */
  model: string | URL | Blob | Uint8Array | ArrayBuffer;
  /** `kernels.wasm` of this package: where it is, or its bytes; default: beside this module. */
  kernels?: string | URL | Blob | Uint8Array | ArrayBuffer;
  /** Starts `web/worker.js` of this package, for bundlers and hosts where the worker beside this module is not found. */
  worker?: () => Worker;
  /** Told how much of the model has come; `total` if the server says it. */
  onProgress?: (loaded: number, total: number | undefined) => void;
  signal?: AbortSignal;
}

/** Which boxes {@link WebDetector.steps} gives. */
export interface StepsOptions {
  /** Steps between two results, a whole number from 1 (the default). */
  every?: number | undefined;
  /** T; default: the model's own. */
  steps?: number | undefined;
}

/** A stream in a browser runs in the detector's worker. */
export type WebStreamOptions = Omit<StreamOptions, 'worker'>;
export type WebStream = DetectionStream<WebSource, TakenPicture>;

/** Where a file is, or what is in it. */
type FileSource = WebDetectorOptions['model'];

const isBlob = (source: unknown): source is Blob => ['Blob', 'File'].includes(kindOf(source));
const isUrl = (source: unknown): source is string | URL =>
  typeof source === 'string' || kindOf(source) === 'URL';

const nameOf = (source: FileSource): string => {
  if (isUrl(source)) return String(source).replace(/^.*\//, '');
  return isBlob(source) && 'name' in source ? String(source.name) : 'bytes';
};

/** Reads a file, whatever it is given as; throws `USAGE` for what is none, else as {@link fetchBytes} and {@link bytesOf}. */
async function readSource(
  what: string,
  source: FileSource,
  options: Pick<WebDetectorOptions, 'signal' | 'onProgress'>,
): Promise<Uint8Array<ArrayBuffer>> {
  if (isUrl(source)) return fetchBytes(source, options);
  if (isBlob(source)) return bytesOf(source);
  if (kindOf(source) === 'Uint8Array') return new Uint8Array(source as Uint8Array);
  if (kindOf(source) === 'ArrayBuffer') return new Uint8Array((source as ArrayBuffer).slice());
  throw usageError(`${what} is ${kindOf(source)}; expected a URL, a Blob, a Uint8Array or an ArrayBuffer`);
}

/** Fetches a file; throws `FILE` if it is not to be had, `ABORTED` if the signal aborts. */
async function fetchBytes(
  url: string | URL,
  { signal, onProgress }: Pick<WebDetectorOptions, 'signal' | 'onProgress'>,
): Promise<Uint8Array<ArrayBuffer>> {
  // what a caller's own function throws is the caller's
  let thrown: unknown;
  const progress = (loaded: number, total: number | undefined) => {
    try {
      onProgress?.(loaded, total);
    } catch (error) {
      thrown = error;
      throw error;
    }
  };
  try {
    const response = await fetch(url, signal ? { signal } : {});
    if (!response.ok) throw fileError(`${url}: the server answers ${response.status} ${response.statusText}`);
    // hosts of one page answer any address with it
    if (response.headers.get('content-type')?.startsWith('text/html'))
      throw fileError(`${url}: the server answers with a page; is the address right?`);
    // of what is sent compressed, the length says something else
    const encoded = response.headers.has('content-encoding');
    const total = encoded ? undefined : Number(response.headers.get('content-length')) || undefined;
    if (!response.body) return new Uint8Array(await response.arrayBuffer());
    const chunks: Uint8Array<ArrayBuffer>[] = [];
    let loaded = 0;
    for (const reader = response.body.getReader(); ; ) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      loaded += value.length;
      progress(loaded, total);
    }
    return new Uint8Array(await new Blob(chunks).arrayBuffer());
  } catch (error) {
    if (signal?.aborted) throw abortedError('cancelled', signal.reason);
    if (thrown !== undefined) throw thrown;
    throw error instanceof TypeError
      ? fileError(`${url} cannot be loaded: ${reasonOf(error)}`, error)
      : error;
  }
}

/** A Blob's bytes; throws `FILE` if they cannot be read any more. */
async function bytesOf(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await blob.arrayBuffer());
  } catch (error) {
    throw fileError(`${nameOf(blob)} cannot be read: ${reasonOf(error)}`, error);
  }
}

/** A module that says whether there is SIMD: one function that makes a vector and drops it. */
const SIMD = Uint8Array.of(
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 10, 9, 1, 7, 0, 65, 0, 253, 15, 26, 11],
);

/** Throws `BACKEND` with what is missing, where a detector cannot run. */
function checkBrowser(): void {
  if (typeof WebAssembly !== 'object' || !WebAssembly.validate(SIMD))
    throw backendError(
      'this browser has no WebAssembly with SIMD; Chrome 91, Firefox 105, Safari 16.4 and newer ones have',
    );
  if (typeof OffscreenCanvas !== 'function')
    throw backendError(
      'this browser has no OffscreenCanvas; Chrome 69, Firefox 105, Safari 16.4 and newer ones have',
    );
}

/**
 * A spiking detector in a browser. The network runs in a Web Worker, on the WASM kernel: the page is never blocked. The same pixels
 * send the same spikes as everywhere else.
 *
 * @example
 * ```ts
 * import { WebDetector } from 'spiking-yolo/web';
 *
 * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors' });
 * const { detections } = await detector.detect(await (await fetch('samples/cat.jpg')).blob());
 * console.log(detections[0].class); // cat
 * detector.close();
 * ```
 */
export class WebDetector {
  /** The model's file name, or `bytes`. */
  readonly model: string;
  readonly classes: readonly string[];
  /** What pictures are resized to, in pixels. */
  readonly input: { readonly width: number; readonly height: number };
  /** What the network can run by: {@link steps} takes `steps`. */
  readonly schedules: readonly Schedule[];
  readonly settings: DetectionSettings;
  /** What a picture costs besides spikes: `energyOf(work, sops)`, `annEnergyOf(work)`. */
  readonly work: FixedWork;
  private readonly caller: Caller;
  private readonly streams = new Set<WebStream>();
  /** Ends when the pictures of all calls before have gone to the worker. */
  private sent: Promise<unknown> = Promise.resolve();

  private constructor(model: string, caller: Caller, { classes, input, schedules, settings, work }: Loaded) {
    this.model = model;
    this.caller = caller;
    this.classes = classes;
    this.input = input;
    this.schedules = schedules;
    this.settings = settings;
    this.work = work;
  }

  /**
   * Loads a model and starts a worker for it. Throws `BACKEND` where the browser lacks something (WebAssembly with SIMD, memory,
   * workers), `FILE` for what cannot be loaded, `MODEL` for what is no model, `USAGE` for a wrong option, `ABORTED` when the signal
   * aborts.
   *
   * @example
   * ```ts
   * import { WebDetector } from 'spiking-yolo/web';
   *
   * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors', classes: ['cat', 'dog'] });
   * console.log(detector.input.width, detector.settings.steps); // 256 16
   * detector.close();
   * ```
   */
  static async load(options: WebDetectorOptions): Promise<WebDetector> {
    if (typeof options !== 'object' || options === null || options.model === undefined)
      throw usageError('the options of a detector must be an object with a model');
    const { model, kernels, worker, onProgress, signal, ...choices } = options;
    checkSignal(signal);
    for (const [name, value] of Object.entries({ onProgress, worker }))
      if (value !== undefined && typeof value !== 'function') throw usageError(`${name} must be a function`);
    checkBrowser();
    const beside = new URL('../kernels.wasm', import.meta.url);
    const [modelBytes, kernelBytes] = await Promise.all([
      readSource('model', model, { signal, onProgress }),
      readSource('kernels', kernels ?? beside, { signal }),
    ]);
    if (signal?.aborted) throw abortedError('cancelled', signal.reason);
    const caller = new Caller(startWorker(worker));
    const stop = () => caller.end(abortedError('cancelled', signal?.reason));
    signal?.addEventListener('abort', stop);
    try {
      const name = nameOf(model);
      const load: Load = { name, model: modelBytes, kernels: kernelBytes, choices };
      const given = [modelBytes.buffer, kernelBytes.buffer];
      return new WebDetector(name, caller, await caller.call<Loaded>('load', load, given));
    } catch (error) {
      caller.end(backendError('this detector did not load'));
      throw error;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
  }

  private ask<Name extends keyof Methods>(
    method: Name,
    argument: Parameters<Methods[Name]>[0],
    transfer?: Transferable[],
  ): Promise<Awaited<ReturnType<Methods[Name]>>> {
    return this.caller.call(method, argument, transfer);
  }

  /** Takes a picture as it is now, and asks about it after the calls before have asked. */
  private async inOrder<T>(
    source: WebSource | RawPixels,
    ask: (taken: TakenPicture) => Promise<T>,
  ): Promise<T> {
    const before = this.sent;
    const taken = takePicture(source);
    const asked = (async () => {
      const picture = await taken.finally(() => before);
      return { answer: this.explained(ask(picture)) };
    })();
    this.sent = asked.catch(() => {});
    return (await asked).answer;
  }

  /** Why a picture cannot go to the worker, in words. */
  private async explained<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof SpikingYoloError && error.cause instanceof DOMException)
        throw imageError(
          `the picture cannot be read: it comes from another origin, without CORS (${error.cause.message})`,
          error,
        );
      throw error;
    }
  }

  /**
   * Detects objects on a picture; pictures are looked at in the order of the calls. Throws `IMAGE` for a picture that cannot be
   * decoded or is too large, `USAGE` for what is none.
   *
   * @example
   * ```ts
   * import { WebDetector } from 'spiking-yolo/web';
   *
   * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors', checksum: true });
   * const { detections, spikeChecksum } = await detector.detect(new ImageData(64, 64));
   * console.log(detections.length, spikeChecksum.length); // 0 16
   * detector.close();
   * ```
   */
  async detect(source: WebSource | RawPixels): Promise<WebResult> {
    return this.inOrder(source, ([picture, transfer]) => this.ask('detect', { picture }, transfer));
  }

  /**
   * Boxes as time steps pass, out of one simulation step by step; the next steps are simulated when they are asked for, and breaking
   * out of the loop ends the simulation. Throws `USAGE` for a network that runs layer by layer only ({@link schedules}).
   *
   * @example
   * ```ts
   * import { WebDetector } from 'spiking-yolo/web';
   *
   * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors' });
   * const photo = await (await fetch('samples/cat.jpg')).blob();
   * for await (const { step, detections, layers } of detector.steps(photo, { every: 8, steps: 32 }))
   *   if (step === 32) console.log(detections[0].class, layers[0].name); // cat conv1
   * detector.close();
   * ```
   */
  async *steps(source: WebSource | RawPixels, options: StepsOptions = {}): AsyncGenerator<StepResult> {
    const { every = 1, steps } = options ?? {};
    const run = await this.inOrder(source, ([picture, transfer]) =>
      this.ask('beginSteps', { picture, every, steps }, transfer),
    );
    try {
      for (;;) {
        const result = await this.ask('nextStep', run);
        if (!result) return;
        yield result;
      }
    } finally {
      await this.ask('endSteps', run).catch(() => {});
    }
  }

  /**
   * Detects objects on the frames of one video, on a network of its own that is kept from frame to frame, as `Detector.stream` does
   * in Node. Throws `USAGE` for a detector that does not run layer by layer with the default neurons and pool.
   *
   * @example
   * ```ts
   * import { WebDetector } from 'spiking-yolo/web';
   *
   * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors' });
   * const stream = detector.stream({ deadZone: 8 });
   * const photo = await createImageBitmap(await (await fetch('samples/cat.jpg')).blob());
   * const first = await stream.next(photo);
   * const again = await stream.next(photo);
   * console.log(first.changed > 0.5, again.changed, again.spikes); // true 0 0
   * detector.close();
   * ```
   */
  stream(options: WebStreamOptions = {}): WebStream {
    if (typeof options !== 'object' || options === null)
      throw usageError('the options of a stream must be an object');
    checkStream(options, this.settings);
    const stream: WebStream = new DetectionStream<WebSource, TakenPicture>(
      options,
      () => this.openStream(options),
      () => this.streams.delete(stream),
      takePicture,
    );
    this.streams.add(stream);
    return stream;
  }

  private async openStream({
    hold,
    deadZone,
    changeMap,
  }: WebStreamOptions): Promise<FrameLooker<TakenPicture>> {
    const id = await this.ask('openStream', { hold, deadZone, changeMap });
    return {
      next: (taken) => {
        const [picture, transfer] = taken as TakenPicture;
        return this.explained(this.ask('frame', { stream: id, picture }, transfer));
      },
      reset: () => this.ask('resetStream', id),
      close: () => this.ask('closeStream', id).catch(() => {}),
    };
  }

  /**
   * Ends the worker and what runs in it, and frees its memory.
   *
   * @example
   * ```ts
   * import { WebDetector } from 'spiking-yolo/web';
   *
   * const detector = await WebDetector.load({ model: 'models/tiny-yolo-lite-voc.safetensors' });
   * detector.close();
   * const error = await detector.detect(new ImageData(8, 8)).catch((thrown) => thrown);
   * console.log(error.code, error.message); // USAGE this detector is closed
   * ```
   */
  close(): void {
    this.caller.end(usageError('this detector is closed'));
    for (const stream of this.streams) void stream.close();
  }

  /** As {@link close}: `using detector = await WebDetector.load(…)`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

function startWorker(own: WebDetectorOptions['worker']): Worker {
  let worker: Worker;
  try {
    // bundlers look for these very words
    worker = own
      ? own()
      : new Worker(new URL('./worker.js', import.meta.url), { type: 'module', name: 'spiking-yolo' });
  } catch (error) {
    throw backendError(
      `the worker cannot be started (from another origin than the page's it cannot; see the option worker): ${reasonOf(error)}`,
      error,
    );
  }
  if (kindOf(worker) !== 'Worker') throw usageError('the option worker must give a Worker at once');
  return worker;
}
