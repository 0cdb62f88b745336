/** What runs in the Web Worker of a `WebDetector`: the networks. */
import { selfTest } from '../backend/self-test.js';
import { compileWasm, wasmBackend } from '../backend/wasm.js';
import { type HeadOptions, SpikingDetector, type SpikingResult } from '../detection/detector.js';
import {
  checkChoices,
  checkPreset,
  classIdsOf,
  type DetectionChoices,
  type DetectionSettings,
  pickSettings,
  possibleSchedules,
  resolveSettings,
} from '../detection/settings.js';
import { DEFAULT_HOLD, type FrameResult, LocalLooker, type StreamOptions } from '../detection/stream.js';
import type { Backend } from '../engine/backend.js';
import type { Schedule } from '../engine/plan.js';
import { backendError, SpikingYoloError, usageError, withPath } from '../errors.js';
import { type FixedWork, fixedWork } from '../evaluation/work.js';
import type { Detection } from '../heads/nms.js';
import { rawPhoto } from '../image/raw-photo.js';
import type { Photo } from '../image/resize.js';
import { decodeModel } from '../model/model-file.js';
import type { SpikingModel } from '../model/spiking-model.js';
import { answerCalls } from './calls.js';
import { type Picture, PixelReader } from './picture.js';

/** What a worker is loaded with. */
export interface Load {
  name: string;
  model: Uint8Array;
  kernels: Uint8Array<ArrayBuffer>;
  choices: DetectionChoices;
}

/** What a page knows of its detector. */
export interface Loaded {
  classes: readonly string[];
  /** What pictures are resized to, in pixels. */
  input: { width: number; height: number };
  schedules: Schedule[];
  settings: DetectionSettings;
  work: FixedWork;
}

/** What was found on a picture. */
export type WebResult = SpikingResult & { model: string };

/** Boxes after so many time steps, and what has been sent in them. */
export interface StepResult {
  /** From 1. */
  step: number;
  detections: Detection[];
  /** Spikes sent up to now, before the pool. */
  spikes: number;
  spikesPerNeuron: number;
  /** Synaptic operations up to now, after layer 1. */
  sops: number;
  /** Of each layer: its neurons (none of an output layer), and what they have sent up to now. */
  layers: { name: string; neurons: number; spikes: number }[];
}

/** A network loaded, and what runs on it. */
class Networks {
  readonly loaded: Loaded;
  private readonly name: string;
  private readonly model: SpikingModel;
  private readonly choices: DetectionChoices;
  private readonly backend: Backend;
  private readonly options: DetectionSettings & HeadOptions;
  private readonly reader = new PixelReader();
  private network: SpikingDetector | undefined;
  /** The run step by step that is asked for its next step. */
  private steps: { run: number; network: SpikingDetector; results: Generator<StepResult> } | undefined;
  private lastRun = 0;
  private readonly streams = new Map<number, LocalLooker<Picture>>();
  private lastStream = 0;

  constructor({ name, model, kernels, choices }: Load) {
    checkChoices(choices);
    this.name = name;
    this.choices = choices;
    try {
      this.model = decodeModel(model);
    } catch (error) {
      throw withPath(name, error);
    }
    checkPreset(name, choices.preset, this.model);
    const settings = resolveSettings(pickSettings(choices), choices.preset, this.model);
    this.backend = wasmBackend(compileWasm(kernels));
    const failure = selfTest(this.backend);
    if (failure !== undefined) throw backendError(`the WASM kernel fails its self-test here: ${failure}`);
    const { classes, network } = this.model;
    this.options = {
      ...settings,
      classIds: classIdsOf(choices, classes),
      resize: choices.resize ?? this.model.resize,
    };
    const { width, height } = network.input;
    this.network = new SpikingDetector(this.model, settings, this.backend);
    this.loaded = {
      classes,
      input: { width, height },
      schedules: possibleSchedules(network),
      settings,
      work: fixedWork(this.network.simulation.plan, settings.steps),
    };
  }

  private photo(picture: Picture): Photo {
    return rawPhoto(this.reader.read(picture));
  }

  detect(picture: Picture): WebResult {
    const start = performance.now();
    const photo = this.photo(picture);
    const decode = performance.now() - start;
    this.network ??= new SpikingDetector(this.model, this.loaded.settings, this.backend);
    const { checksum } = this.choices;
    try {
      const result = this.network.detect(photo, this.options, { checksum });
      return { ...result, elapsedMs: { decode, ...result.elapsedMs }, model: this.name };
    } catch (error) {
      // whatever it was may have left the network in disorder
      if (!(error instanceof SpikingYoloError)) this.network = undefined;
      throw error;
    }
  }

  /** Begins a run step by step in place of the one before, once all of it is right; gives its number. */
  beginSteps(picture: Picture, every: number, steps: number | undefined): number {
    if (!(Number.isInteger(every) && every >= 1))
      throw usageError(`every is ${every}; expected a whole number from 1`);
    const choices = {
      ...this.choices,
      schedule: 'steps' as const,
      ...(steps === undefined ? {} : { steps }),
    };
    const settings = resolveSettings(pickSettings(choices), choices.preset, this.model);
    const photo = this.photo(picture);
    const network = new SpikingDetector(this.model, settings, this.backend);
    if (this.steps) this.endSteps(this.steps.run);
    const run = ++this.lastRun;
    this.steps = { run, network, results: this.stepsOf(network, photo, every) };
    return run;
  }

  private *stepsOf(network: SpikingDetector, photo: Photo, every: number): Generator<StepResult> {
    const pixels = network.resize(photo, this.options.resize);
    for (const found of network.boxesOverTime(pixels, photo, this.options, every)) {
      const { spikes, spikesPerNeuron, synapticOperations: sops, perStage } = network.simulation.statistics();
      const layers = perStage.map(({ name, neurons, spikes: sent }) => ({ name, neurons, spikes: sent }));
      yield { ...found, spikes, spikesPerNeuron, sops, layers };
    }
  }

  nextStep(run: number): StepResult | undefined {
    if (this.steps?.run !== run)
      throw usageError('this detector has begun another run step by step; one is simulated at a time');
    const next = this.steps.results.next();
    if (!next.done) return next.value;
    this.endSteps(run);
    return undefined;
  }

  endSteps(run: number): void {
    if (this.steps?.run !== run) return;
    this.steps.network.close();
    this.steps = undefined;
  }

  openStream(options: StreamOptions): number {
    const { settings } = this.loaded;
    const network = new SpikingDetector(this.model, settings, this.backend, 1, options.hold ?? DEFAULT_HOLD);
    const id = ++this.lastStream;
    const kept = {
      ...this.options,
      checksum: this.choices.checksum ?? false,
      model: this.name,
    };
    this.streams.set(id, new LocalLooker<Picture>(network, kept, options, (picture) => this.photo(picture)));
    return id;
  }

  stream(id: number): LocalLooker<Picture> {
    const looker = this.streams.get(id);
    if (!looker) throw usageError('this stream is closed');
    return looker;
  }

  async closeStream(id: number): Promise<void> {
    await this.streams.get(id)?.close();
    this.streams.delete(id);
  }
}

let networks: Networks | undefined;

/** What a page asks for, by name. */
export const methods = {
  load(load: Load): Loaded {
    networks = new Networks(load);
    return networks.loaded;
  },
  detect: ({ picture }: { picture: Picture }): WebResult => networks!.detect(picture),
  beginSteps: ({
    picture,
    every,
    steps,
  }: {
    picture: Picture;
    every: number;
    steps: number | undefined;
  }): number => networks!.beginSteps(picture, every, steps),
  nextStep: (run: number): StepResult | undefined => networks!.nextStep(run),
  endSteps: (run: number): void => networks!.endSteps(run),
  openStream: (options: StreamOptions): number => networks!.openStream(options),
  frame: ({ stream, picture }: { stream: number; picture: Picture }): Promise<FrameResult> =>
    networks!.stream(stream).next(picture),
  resetStream: (stream: number): Promise<void> => networks!.stream(stream).reset(),
  closeStream: (stream: number): Promise<void> => networks!.closeStream(stream),
};
export type Methods = typeof methods;

answerCalls(globalThis as unknown as Parameters<typeof answerCalls>[0], methods);
