import type { Detection } from '../decoding/nms.js';
import type { FloatDetector, HeadOptions, SpikingDetector } from '../detection/detector.js';
import type { Photo } from '../image/resize.js';
import {
  type EvaluatedPhoto,
  type GroundTruth,
  type MeanAveragePrecision,
  meanAveragePrecision,
} from './mean-average-precision.js';

/** Scores and costs of the spiking network after some number of steps, over all photos. */
export interface StepScore extends MeanAveragePrecision {
  steps: number;
  spikesPerNeuron: number;
  spikesPerNeuronMacWeighted: number;
  /** Synaptic operations a photo, after layer 1. */
  sops: number;
  /** ‖spiking − float‖ / ‖float‖ of the output maps, over all photos. */
  relativeError: number;
}

export interface Evaluation {
  ann: MeanAveragePrecision;
  snn: StepScore[];
  images: number;
}

interface Accumulated {
  photos: EvaluatedPhoto[];
  spikesPerNeuron: number;
  spikesPerNeuronMacWeighted: number;
  sops: number;
  squaredError: number;
}

/** Scores of the VOC protocol: every box that might count. */
export const EVALUATION_HEAD = { conf: 0.005, iou: 0.45, maxDet: 1000 };

/**
 * Evaluates a spiking network against its float network, photo by photo; every step count is read out of one
 * simulation.
 */
export class Evaluator {
  private readonly spiking: SpikingDetector;
  private readonly float: FloatDetector;
  private readonly classes: readonly string[];
  private readonly steps: readonly number[];
  private readonly head: HeadOptions;
  private readonly annPhotos: EvaluatedPhoto[] = [];
  private readonly perStep: Map<number, Accumulated>;
  private squaredNorm = 0;

  /** @param steps ascending, the last at most the detector's own */
  constructor(
    spiking: SpikingDetector,
    float: FloatDetector,
    classes: readonly string[],
    steps: readonly number[],
    head: HeadOptions,
  ) {
    this.spiking = spiking;
    this.float = float;
    this.classes = classes;
    this.steps = steps;
    this.head = head;
    this.perStep = new Map(
      steps.map((step) => [
        step,
        { photos: [], spikesPerNeuron: 0, spikesPerNeuronMacWeighted: 0, sops: 0, squaredError: 0 },
      ]),
    );
  }

  /** Adds one photo. */
  add(photo: Photo, groundTruth: readonly GroundTruth[]): void {
    const pixels = this.spiking.resize(photo, this.head.resize);
    const target = Float64Array.from(this.float.floatNetwork.forward(pixels));
    this.annPhotos.push({ detections: this.detections(target, photo), groundTruth });
    for (const value of target) this.squaredNorm += value * value;
    for (const { step, map } of this.spiking.readOuts(pixels, this.steps)) {
      const accumulated = this.perStep.get(step)!;
      accumulated.photos.push({ detections: this.detections(map, photo), groundTruth });
      for (let i = 0; i < map.length; i++) accumulated.squaredError += (map[i]! - target[i]!) ** 2;
      const statistics = this.spiking.simulation.statistics();
      accumulated.spikesPerNeuron += statistics.spikesPerNeuron;
      accumulated.spikesPerNeuronMacWeighted += statistics.spikesPerNeuronMacWeighted;
      accumulated.sops += statistics.synapticOperations;
    }
  }

  private detections(map: Float64Array, photo: Photo): Detection[] {
    return this.spiking.detections(map, photo, this.head);
  }

  /** Scores over the photos added so far. */
  result(): Evaluation {
    const images = this.annPhotos.length;
    return {
      ann: meanAveragePrecision(this.classes, this.annPhotos),
      snn: [...this.perStep].map(([steps, accumulated]) => ({
        steps,
        ...meanAveragePrecision(this.classes, accumulated.photos),
        spikesPerNeuron: accumulated.spikesPerNeuron / images,
        spikesPerNeuronMacWeighted: accumulated.spikesPerNeuronMacWeighted / images,
        sops: accumulated.sops / images,
        relativeError: Math.sqrt(accumulated.squaredError / this.squaredNorm),
      })),
      images,
    };
  }
}
