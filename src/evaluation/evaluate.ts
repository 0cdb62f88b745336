import type { Decoder } from '../decoding/readout.js';
import type { FloatDetector, HeadOptions, SpikingDetector } from '../detection/detector.js';
import type { EffectiveOperations } from '../engine/simulation.js';
import type { Photo } from '../image/resize.js';
import { floatShares, networkOperations } from '../network/operations.js';
import { Bootstrap, type Interval, type MapIntervals, middle } from './bootstrap.js';
import {
  type GroundTruth,
  type MeanAveragePrecision,
  matchPhoto,
  meanAveragePrecision,
  type PhotoMatches,
} from './mean-average-precision.js';
import {
  annEnergyOf,
  annEnergyWithMemory,
  breakEven,
  type Energy,
  energyOf,
  energyWithMemory,
  type FixedWork,
  fixedWork,
} from './work.js';

/** What one photo came to after some number of steps: plain data. */
export interface StepMeasurement {
  steps: number;
  /** Boxes against objects, by decoder. */
  matches: Partial<Record<Decoder, PhotoMatches>>;
  /** ‖spiking − float‖² of the output maps, by decoder. */
  squaredError: Partial<Record<Decoder, number>>;
  spikesPerNeuron: number;
  spikesPerNeuronMacWeighted: number;
  synapticOperations: number;
  /** As sent, by all neurons. */
  spikes: number;
  /** Of a layer-synchronous run. */
  effective?: EffectiveOperations;
  /** Unit spikes per firing neuron and step (eq. 6), by layer. */
  firingRates: Record<string, number>;
}

/** What one photo came to: plain data, so that it can be kept in a file. */
export interface PhotoMeasurement {
  ann: PhotoMatches;
  /** ‖float‖² of the output map. */
  squaredNorm: number;
  snn: StepMeasurement[];
}

/** Scores and costs of the float network. Energy: per photo, see {@link annEnergyOf}. */
export type AnnScore = MeanAveragePrecision &
  MapIntervals &
  Pick<Energy, 'energyPicojoules' | 'integerEnergyPicojoules'>;

/** Scores and costs of the spiking network after some number of steps, over all photos; costs are means per photo. */
export interface StepScore extends MeanAveragePrecision, MapIntervals, Energy {
  steps: number;
  decode: Decoder;
  /** 95 % interval of map11 ÷ the float network's, over the same resamples of photos. */
  keptInterval: Interval;
  /** ‖spiking − float‖ / ‖float‖ of the output maps, over all photos. */
  relativeError: number;
  spikesPerNeuron: number;
  spikesPerNeuronMacWeighted: number;
  /** Unit spikes per firing neuron and step (eq. 6), by layer. */
  firingRates: Record<string, number>;
  /** Synaptic operations after layer 1. */
  sops: number;
  neuronUpdates: number;
  poolComparisons: number;
  /** energyPicojoules ÷ the float network's. */
  energyOfAnn: number;
  /** Energy with memory traffic (see `energyWithMemory`), in picojoules, and ÷ the float network's. */
  memoryEnergyPicojoules: number;
  memoryEnergyOfAnn: number;
  /** Columns as NeuroBench 2.3 names them. */
  neuroBench: NeuroBench;
}

/**
 * NeuroBench's columns, means per photo. Its rule makes every operation of a layer a multiply-accumulate in which an input is not
 * −1, 0 or 1: so are the counts of a layer-synchronous run, and the weighted digits of `phase`. What a run step by step does in
 * each step is not counted: there the first three are left out.
 */
export interface NeuroBench {
  effectiveMacs?: number;
  effectiveAcs?: number;
  /** Part of the neurons that sent nothing. */
  activationSparsity?: number;
  /** Multiply-accumulates of a dense pass, and additions of sums of maps. */
  denseOperations: number;
  /** Bytes of weights and of what each neuron and channel needs besides. */
  footprint: number;
}

export interface Evaluation {
  ann: AnnScore;
  snn: StepScore[];
  /** MAC-weighted spikes per neuron at which the energies are equal, by float and by integer arithmetic. */
  breakEvenSpikes: { float: number; integer: number };
  /** Parts of the float network's operations that the spiking one computes in floats, too. */
  inFloats: { islands: number; tail: number };
  images: number;
}

/** Scores of the VOC protocol: every box that might count. */
export const EVALUATION_HEAD = { conf: 0.005, iou: 0.45, maxDet: 1000 };

/** Resamples of photos that intervals are taken from. */
const RESAMPLES = 1000;

/** A spiking network and the steps that are read out of its one simulation. */
export interface SteppedRun {
  detector: SpikingDetector;
  /** Ascending; the last at most the detector's own. */
  steps: readonly number[];
}

/** Measures a spiking network against its float network on annotated photos. */
export class Evaluator {
  private readonly runs: readonly SteppedRun[];
  private readonly float: FloatDetector;
  private readonly classes: readonly string[];
  private readonly decoders: readonly Decoder[];
  private readonly head: HeadOptions;
  private readonly memory: { weightBytes: number; footprint: number };

  /**
   * @param runs one that holds all steps; with a layer-synchronous schedule one a step count
   * @param memory bytes of a weight, and of the model with its neurons
   */
  constructor(
    runs: readonly SteppedRun[],
    float: FloatDetector,
    classes: readonly string[],
    decoders: readonly Decoder[],
    head: HeadOptions,
    memory: { weightBytes: number; footprint: number },
  ) {
    this.runs = runs;
    this.float = float;
    this.classes = classes;
    this.decoders = decoders;
    this.head = head;
    this.memory = memory;
  }

  /** Measures one photo; `onBlock` is called after each block of time steps and may throw to stop. */
  measure(
    photo: Photo,
    groundTruth: readonly GroundTruth[],
    onBlock?: (step: number) => void,
  ): PhotoMeasurement {
    const pixels = this.float.resize(photo, this.head.resize);
    const targets = this.float.floatNetwork.forward(pixels).map((map) => Float64Array.from(map));
    const head = { ...this.head, allClasses: true };
    const matchesOf = (maps: readonly Float64Array[]) =>
      matchPhoto(this.float.detections(maps, photo, head), groundTruth);
    const snn: StepMeasurement[] = [];
    for (const { detector, steps } of this.runs) {
      for (const { step, maps } of detector.readOuts(pixels, steps, onBlock)) {
        const statistics = detector.simulation.statistics();
        const matches: StepMeasurement['matches'] = {};
        const squaredError: StepMeasurement['squaredError'] = {};
        for (const decoder of this.decoders) {
          const decoded = maps(decoder);
          matches[decoder] = matchesOf(decoded);
          squaredError[decoder] = sumOver(decoded, (value, output, i) => (value - targets[output]![i]!) ** 2);
        }
        const firingRates = Object.fromEntries(
          statistics.perStage
            .filter(({ neurons }) => neurons > 0)
            .map(({ name, neurons, spikes }) => [name, spikes / neurons / step]),
        );
        const { spikesPerNeuron, spikesPerNeuronMacWeighted, synapticOperations } = statistics;
        snn.push({
          steps: step,
          matches,
          squaredError,
          spikesPerNeuron,
          spikesPerNeuronMacWeighted,
          synapticOperations,
          spikes: statistics.spikes,
          ...(detector.schedule === 'layered'
            ? { effective: detector.simulation.effectiveOperations() }
            : {}),
          firingRates,
        });
      }
    }
    const squaredNorm = sumOver(targets, (value) => value * value);
    return { ann: matchesOf(targets), squaredNorm, snn };
  }

  /** Scores over measured photos, at least one. */
  summarise(photos: readonly PhotoMeasurement[]): Evaluation {
    const bootstrap = new Bootstrap(this.classes, photos.length, RESAMPLES);
    const score = (matches: readonly PhotoMatches[]) => {
      const maps = bootstrap.maps(matches);
      const intervals: MapIntervals = {
        map11Interval: middle(maps.map(({ map11 }) => map11)),
        mapAllInterval: middle(maps.map(({ mapAll }) => mapAll)),
      };
      return { maps, scores: { ...meanAveragePrecision(this.classes, matches), ...intervals } };
    };
    const ann = score(photos.map((photo) => photo.ann));
    const squaredNorm = photos.reduce((sum, photo) => sum + photo.squaredNorm, 0);
    const work = this.runs.flatMap(({ detector, steps }) =>
      steps.map((step) => fixedWork(detector.simulation.plan, step)),
    );
    const annEnergy = annEnergyOf(work[0]!);
    const annMemoryEnergy = annEnergyWithMemory(work[0]!);
    const { weightBytes, footprint } = this.memory;
    const snn = work.flatMap((fixed, i) => {
      const measured = photos.map((photo) => photo.snn[i]!);
      return this.decoders.map((decode): StepScore => {
        const { maps, scores } = score(measured.map(({ matches }) => matches[decode]!));
        const kept = maps.map(({ map11 }, r) => (ann.maps[r]!.map11 > 0 ? map11 / ann.maps[r]!.map11 : 0));
        const squaredError = measured.reduce((sum, photo) => sum + photo.squaredError[decode]!, 0);
        const costs = meanCosts(measured, fixed);
        return {
          steps: measured[0]!.steps,
          decode,
          ...scores,
          keptInterval: middle(kept),
          relativeError: Math.sqrt(squaredError / squaredNorm),
          ...costs,
          energyOfAnn: costs.energyPicojoules / annEnergy.energyPicojoules,
          ...memoryCosts(measured, fixed, weightBytes, annMemoryEnergy),
          neuroBench: neuroBenchOf(measured, fixed, footprint),
        };
      });
    });
    return {
      ann: { ...ann.scores, ...annEnergy },
      snn,
      breakEvenSpikes: { float: breakEven('float'), integer: breakEven('integer') },
      inFloats: floatShares(networkOperations(this.float.floatNetwork.network)),
      images: photos.length,
    };
  }
}

/** A sum over all values of all output maps. */
function sumOver(
  maps: readonly Float64Array[],
  term: (value: number, output: number, i: number) => number,
): number {
  let sum = 0;
  for (const [output, map] of maps.entries())
    for (const [i, value] of map.entries()) sum += term(value, output, i);
  return sum;
}

function memoryCosts(
  measured: readonly StepMeasurement[],
  fixed: FixedWork,
  weightBytes: number,
  annMemoryEnergy: number,
) {
  const energies = measured.map((photo) => energyWithMemory(fixed, { ...photo, weightBytes }));
  const memoryEnergyPicojoules = energies.reduce((sum, energy) => sum + energy, 0) / energies.length;
  return { memoryEnergyPicojoules, memoryEnergyOfAnn: memoryEnergyPicojoules / annMemoryEnergy };
}

function neuroBenchOf(
  measured: readonly StepMeasurement[],
  { imageMultiplications, otherMultiplications, additions }: FixedWork,
  footprint: number,
): NeuroBench {
  const denseOperations = imageMultiplications + otherMultiplications + additions;
  const effective = measured.flatMap((photo) => photo.effective ?? []);
  if (effective.length < measured.length) return { denseOperations, footprint };
  const sum = (of: (each: EffectiveOperations) => number) =>
    effective.reduce((total, each) => total + of(each), 0);
  return {
    // bytes of the image are neither −1, 0 nor 1
    effectiveMacs: sum((each) => each.multiplyAccumulates) / effective.length + imageMultiplications,
    effectiveAcs: sum((each) => each.accumulates) / effective.length,
    activationSparsity: sum((each) => each.silentActivations) / sum((each) => each.activations),
    denseOperations,
    footprint,
  };
}

function meanCosts(measured: readonly StepMeasurement[], fixed: FixedWork) {
  const mean = (value: (photo: StepMeasurement) => number) =>
    measured.reduce((sum, photo) => sum + value(photo), 0) / measured.length;
  const sops = mean((photo) => photo.synapticOperations);
  const layers = Object.keys(measured[0]!.firingRates);
  return {
    spikesPerNeuron: mean((photo) => photo.spikesPerNeuron),
    spikesPerNeuronMacWeighted: mean((photo) => photo.spikesPerNeuronMacWeighted),
    firingRates: Object.fromEntries(
      layers.map((layer) => [layer, mean((photo) => photo.firingRates[layer]!)]),
    ),
    sops,
    neuronUpdates: fixed.neuronUpdates,
    poolComparisons: fixed.poolComparisons,
    ...energyOf(fixed, sops),
  };
}
