import type { Preset } from '../detection/settings.js';
import type { ConvolutionLoad } from '../engine/backend.js';
import type { Method, Schedule } from '../engine/plan.js';

/** One configuration of the benchmark. */
export interface RowSpec {
  net: string;
  /** Path of the model file. */
  model: string;
  weightBits: 16 | 8;
  /** Input size in pixels, square. */
  size: number;
  backend: 'native' | 'wasm' | 'reference';
  /** Instruction set of the native back-end. */
  isa?: string;
  steps: number;
  schedule: Schedule;
  /** Threads on one photo. */
  threads: number;
  /** Forced; default: as the input's activity has it. */
  method?: Method;
  preset: Preset;
  /** Timed runs; slow rows take fewer. */
  runs: number;
}

/** Times of one run of a row, in milliseconds: presenting the photo, then all time steps. */
export interface RunTimes {
  beginMs: number;
  stepsMs: number;
}

/** What a layer of a row was found to do. */
export interface LayerFacts {
  name: string;
  msPerStep: number;
  density: number;
  denseMultiplications: number;
  /** Neurons that fire. */
  neurons: number;
  /** What it computed with; where the back-end chose. Scaled by the output cells that an input reaches. */
  load?: ConvolutionLoad;
}

/** What a row was found to do; taken outside the timing. */
export interface RowFacts {
  isa: string;
  spikeChecksum: string;
  sops: number;
  /** Multiplications of a dense pass, layer 1 (once a photo) left out. */
  denseMultiplications: number;
  peakRssBytes: number;
  /** Peak less what the process had after its imports. */
  addedRssBytes: number;
  layers: LayerFacts[];
}

/** Messages to and from the process that holds a row. */
export type ToRow = { spec: RowSpec; photo: string } | { run: true } | { finish: true };
export type FromRow = { ready: true } | { times: RunTimes } | { facts: RowFacts } | { error: string };

/** Times of one photo, in milliseconds. */
export interface PhotoTimes {
  decodeMs: number;
  resizeMs: number;
}

/** Messages to and from the process that decodes photos. */
export interface ToPhoto {
  photo: string;
  runs: number;
}
export interface FromPhoto {
  cold: PhotoTimes;
  /** Medians of the runs after the first. */
  warm: PhotoTimes;
  addedRssBytes: number;
}

/** Messages to and from the process that holds a worker pool. */
export type ToPool = { net: string; photo: string; workers: number } | { photos: number } | { finish: true };
export type FromPool = { ready: true } | { ms: number } | { addedRssBytes: number } | { error: string };
