import type { Network } from '../network/network.js';

/** How a photo is brought to the network's input size (docs/engine.md). */
export type Resize = 'letterbox' | 'letterbox:darknet' | 'letterbox:114' | 'letterbox:corner' | 'stretch';
export const RESIZES: readonly Resize[] = [
  'letterbox',
  'letterbox:darknet',
  'letterbox:114',
  'letterbox:corner',
  'stretch',
];

/** channel: one λ per channel (paper eq. 5); layer: one per layer (eq. 4); none: λ = 1. */
export type Normalisation = 'channel' | 'layer' | 'none';
export const NORMALISATIONS: readonly Normalisation[] = ['channel', 'layer', 'none'];

/** The integers of one convolution (docs/engine.md). */
export interface SpikingLayer {
  name: string;
  /** W, (filters, size, size, channels). */
  weights: Int16Array | Int8Array;
  /** B, (filters). */
  bias: Int32Array;
  /** θ, (filters). */
  threshold: Int32Array;
  /** θ⁻, (filters); 0 stands for infinite. The output layer, which does not fire, has 0. */
  negativeThreshold: Int32Array;
  /** s, (filters): W = round(w′·s). */
  scale: Int32Array;
  /** λ, (filters): what a firing rate of 1 stands for in the float network. */
  lambda: Float64Array;
  /** Steps in which the layer may not fire. */
  startDelay: number;
  /** What tuning has added to the float network's biases, (filters), in its units; it is part of B. None where nothing is tuned. */
  correction?: Float64Array;
}

/** How λ and biases were tuned on the calibration photos (docs/engine.md). */
export interface TuningProvenance {
  kind: 'bias' | 'full';
  /** T that it was done for. */
  steps: number;
  /** Photos that it was done on. */
  photos: number;
}

/** Largest relative error of the output maps with which `frugal` is content. */
export const FRUGAL_ERROR = 0.05;

/** What the preset `frugal` stands for in a model, found at its conversion. */
export interface FrugalPreset {
  /** T: the fewest with a relative error of at most .05 on held-out photos, or those with the least error. */
  steps: number;
  coding: 'phase';
  /** The error that was measured, and on how many photos. */
  error: number;
  photos: number;
}

/** Where a model came from and the choices made at its conversion. */
export interface Provenance {
  norm: Normalisation;
  percentile: number;
  weightBits: 16 | 8;
  preset: 'default' | 'paper';
  /** Photos used for calibration. */
  calibrationPhotos: number;
  /** None if nothing was tuned. */
  tuning?: TuningProvenance;
  /** SHA-256 of the darknet files, hexadecimal. */
  cfgSha256: string;
  weightsSha256: string;
}

/** A network of integrate-and-fire neurons, all integers; one `.safetensors` file. */
export interface SpikingModel {
  network: Network;
  /** One entry per convolution, in network order. The last is the output layer. */
  layers: SpikingLayer[];
  classes: string[];
  resize: Resize;
  provenance: Provenance;
  /** Presets that were found at conversion. */
  presets?: { frugal?: FrugalPreset };
}

/** What a model says about how it is run. */
export type ModelChoices = Pick<SpikingModel, 'provenance' | 'presets'>;

/** Largest |input| of a step: bytes for a layer on the image, spikes for the others (whatever Γ is). */
export const greatestInput = (onImage: boolean) => (onImage ? 255 : 127);

/** θ of a layer on the image, whose input is 0..255 instead of 0..1, is this many times s. */
export const inputScale = (onImage: boolean) => (onImage ? 255 : 1);

/** Limits of docs/engine.md's table. */
export const WEIGHT_LIMIT = { 16: 32639, 8: 127 } as const;
export const THRESHOLD_LIMIT = 2 ** 23;
export const SUM_LIMIT = 2 ** 30;
