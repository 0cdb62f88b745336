import type { Backend, EngineInstance } from '../engine/backend.js';
import { Island } from '../engine/island.js';
import { DEFAULT_RUN_OPTIONS, LAYERED_STEPS, planEngine, type Stage } from '../engine/plan.js';
import type { Provenance, SpikingLayer } from '../model/spiking-model.js';
import { curveOf, isCurve, negativeSlope } from '../network/activations.js';
import { type FloatNetwork, imageValues } from '../network/float-network.js';
import {
  IMAGE,
  type IslandLayer,
  type Layer,
  type Network,
  outputNames,
  type Shape,
} from '../network/network.js';
import { activatedOf, hasNeurons, type NeuronLayer } from '../network/ops/index.js';
import type { FloatMap } from '../network/ops/operator.js';
import type { FoldedParameters } from '../network/parameters.js';
import { inferShapes } from '../network/shapes.js';
import { type Origin, traceWires } from '../network/wires.js';
import type { ActivationStore } from './activation-store.js';
import type { CalibrationPhotos } from './calibrate.js';
import { type Lambdas, quantise } from './quantise.js';

/** What is tuned at conversion: nothing, biases, or λ and biases. */
export type Tuning = 'none' | 'bias' | 'full';
export const TUNINGS: readonly Tuning[] = ['none', 'bias', 'full'];

/** With fewer photos nothing is tuned: what they have in common is not what photos have in common. */
export const FEWEST_TUNING_PHOTOS = 8;
/** Most photos that are tuned on, and most that are held out; taken evenly from those that calibrate. */
const MOST_TUNING_PHOTOS = 24;
const MOST_HELD_OUT = 8;
/** T that λ is tuned for. */
export const TUNED_STEPS = DEFAULT_RUN_OPTIONS.steps;
/** Rounds of bias correction: a rectified channel takes up a part of each only. */
const BIAS_ROUNDS = 3;
/** What λ is tried as, in parts of the percentile's: .2 to 2 in steps of a tenth, 1 first, so that a tie changes nothing. */
const FACTORS = [
  1,
  ...Array.from({ length: 25 }, (_, i) => 0.2 * 10 ** (i / 24)).filter((f) => Math.abs(f - 1) > 0.04),
];

/** What tuning has found for a layer. */
export interface TunedLayer {
  /** λ, (filters). */
  lambda: Float64Array;
  /** What is added to the trained biases, (filters), in the float network's units. */
  correction: Float64Array;
}

export interface TuningTask {
  network: Network;
  parameters: FoldedParameters;
  floatNetwork: FloatNetwork;
  /** λ by percentile. */
  lambdas: Lambdas;
  weightBits: 16 | 8;
  tuning: Exclude<Tuning, 'none'>;
  photos: CalibrationPhotos;
  /** How many there are. */
  photoCount: number;
  backend: Backend;
  store: ActivationStore;
  /** Layers that were tuned before: they are taken as they are. */
  known?: ReadonlyMap<string, TunedLayer>;
  onLayer?: (name: string, tuned: TunedLayer) => void;
  /** Called with the part of the work that is done, 0..1, and the layer that is next. */
  onProgress?: ((part: number, layer: string) => void) | undefined;
}

/** `count` of some places, evenly spread. */
const evenly = (places: readonly number[], count: number): number[] =>
  Array.from({ length: count }, (_, i) => places[Math.floor(((i + 0.5) * places.length) / count)]!);

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i);

/** Of so many photos the places of those that are held out: a quarter, at most 8. */
export const heldOutPhotos = (all: number): number[] =>
  evenly(upTo(all), Math.min(MOST_HELD_OUT, Math.floor(all / 4)));

/** The places of those that are tuned on: the others, at most 24. */
export function tuningPhotos(all: number): number[] {
  const heldOut = new Set(heldOutPhotos(all));
  const others = upTo(all).filter((place) => !heldOut.has(place));
  return evenly(others, Math.min(MOST_TUNING_PHOTOS, others.length));
}

/**
 * Tunes a network layer after layer, in the order of its layers, so that each hears the spikes of layers that are tuned:
 * λ of a channel by the least squared difference between its rounded and clipped counts and the float network's activation
 * (`full` only), then its bias by the mean of what is left, in three rounds. Counts are the integer engine's own; the rest is
 * float64 in a fixed order, so that every back-end gives the same. Also gives the photos that are held out.
 */
export async function tune(
  task: TuningTask,
): Promise<{ tuned: Map<string, TunedLayer>; heldOut: Uint8Array[] }> {
  const { network, store, photos, photoCount, known, onLayer, onProgress } = task;
  const chosen = new Set(tuningPhotos(photoCount));
  const notChosen = new Set(heldOutPhotos(photoCount));
  const heldOut: Uint8Array[] = [];
  let [seen, kept] = [0, 0];
  for await (const pixels of photos()) {
    const place = seen++;
    if (chosen.has(place)) store.write(`${IMAGE}:counts`, kept++, pixels);
    else if (notChosen.has(place)) heldOut.push(pixels.slice());
  }

  const tuner = new Tuner(task, kept);
  const lastUse = new Map<string, number>();
  for (const [i, { inputs }] of network.layers.entries()) for (const input of inputs) lastUse.set(input, i);
  const work = network.layers.map((layer) => tuner.costOf(layer));
  const all = work.reduce((sum, cost) => sum + cost, 0);
  let done = 0;
  for (const [i, layer] of network.layers.entries()) {
    onProgress?.(done / all, layer.name);
    // photos may be read by a page or a server that has other things to do
    await new Promise((resolve) => setTimeout(resolve));
    const before = known?.get(layer.name);
    const tuned = tuner.layer(layer, before);
    if (tuned && !before) onLayer?.(layer.name, tuned);
    done += work[i]!;
    for (const [name, last] of lastUse) if (last === i) tuner.forget(name);
    if (!lastUse.has(layer.name)) tuner.forget(layer.name);
  }
  return { tuned: tuner.tuned, heldOut };
}

/** A layer alone, hearing counts from a store instead of other layers. */
interface Isolated {
  stages: readonly Stage[];
  instance: EngineInstance;
  layers: readonly SpikingLayer[];
}

const EMPTY_GRAPH = { inputs: [], outputs: [], nodes: [], constants: {} };

class Tuner {
  readonly tuned = new Map<string, TunedLayer>();
  private readonly task: TuningTask;
  private readonly photoCount: number;
  private readonly shapes: Map<string, Shape>;
  private readonly origins: Map<string, readonly Origin[]>;
  private readonly outputs: Set<string>;
  /** λ and biases as they are so far. */
  private readonly lambdas: Lambdas;
  private readonly parameters: FoldedParameters;

  constructor(task: TuningTask, photoCount: number) {
    const { network } = task;
    this.task = task;
    this.photoCount = photoCount;
    this.shapes = inferShapes(network);
    this.origins = traceWires(network, this.shapes);
    this.outputs = new Set(outputNames(network));
    this.lambdas = new Map(task.lambdas);
    this.parameters = new Map(task.parameters);
  }

  /** How long a layer takes, roughly, in neurons. */
  costOf(layer: Layer): number {
    const { height, width, channels } = this.shapes.get(layer.name)!;
    return height * width * channels * (hasNeurons(layer) ? 10 : 1);
  }

  forget(name: string): void {
    this.task.store.free(`${name}:counts`);
    this.task.store.free(`${name}:floats`);
  }

  /** Tunes a layer, or takes it as `before` says, and puts what it sends on each photo into the store. */
  layer(layer: Layer, before: TunedLayer | undefined): TunedLayer | undefined {
    this.forwardFloats(layer);
    if (!hasNeurons(layer)) {
      this.send(layer);
      return undefined;
    }
    const channels = this.shapes.get(layer.name)!.channels;
    const tuned = before ?? {
      lambda: this.task.lambdas.get(layer.name)!.slice(),
      correction: new Float64Array(channels),
    };
    this.apply(layer, tuned);
    const fires = !this.outputs.has(layer.name);
    if (!before) {
      if (fires && this.task.tuning === 'full') {
        tuned.lambda = this.leastError(layer);
        this.apply(layer, tuned);
      }
      // an island has no bias
      for (let round = 0; round < BIAS_ROUNDS && layer.kind !== 'island'; round++) {
        const mean = this.meanError(layer);
        for (let j = 0; j < channels; j++) tuned.correction[j]! += mean[j]!;
        this.apply(layer, tuned);
      }
    }
    if (fires) this.send(layer);
    this.tuned.set(layer.name, tuned);
    return tuned;
  }

  private apply(layer: NeuronLayer, { lambda, correction }: TunedLayer): void {
    this.lambdas.set(layer.name, lambda);
    const trained = this.task.parameters.get(layer.name);
    this.parameters.set(layer.name, corrected(trained, correction));
  }

  /** The float network's pass of one layer on every photo. */
  private forwardFloats(layer: Layer): void {
    const { floatNetwork, store } = this.task;
    const inputs = layer.inputs.map((name) => this.floatMap(name));
    const output = this.floatMap(layer.name);
    for (let photo = 0; photo < this.photoCount; photo++) {
      for (const [i, name] of layer.inputs.entries()) this.readFloats(name, photo, inputs[i]!.values);
      floatNetwork.forwardLayer(layer, inputs, output);
      store.write(`${layer.name}:floats`, photo, output.values);
    }
  }

  private floatMap(name: string): FloatMap {
    const shape = this.shapes.get(name)!;
    return { ...shape, values: new Float32Array(shape.height * shape.width * shape.channels) };
  }

  private readFloats(name: string, photo: number, target: Float32Array): Float32Array {
    const { store } = this.task;
    if (name !== IMAGE) return store.read(`${name}:floats`, photo, target);
    imageValues(store.read(`${IMAGE}:counts`, photo, new Uint8Array(target.length)), target);
    return target;
  }

  /** λ of each channel of a map: of the neurons that its wires come from. */
  private lambdaOf(name: string): Float64Array {
    const origins = this.origins.get(name)!;
    return Float64Array.from(origins, ({ layer, channel }) => this.lambdas.get(layer)![channel]!);
  }

  /** The plan of a layer alone, with λ and biases as they are. */
  private isolate(layer: Layer): Isolated {
    const { network, weightBits, backend } = this.task;
    // a layer may take one map twice
    const heard = new Set(layer.inputs.filter((name) => name !== IMAGE));
    const sources = [...heard].map((name) => this.source(name));
    const alone: Network = {
      input: layer.inputs.includes(IMAGE) ? network.input : { height: 1, width: 1, channels: 3 },
      layers: [...sources, layer],
      heads: this.outputs.has(layer.name)
        ? [{ kind: 'yolo', input: layer.name, classes: 1, anchors: [[1, 1]], scaleXY: 1 }]
        : [],
    };
    const lambdas: Lambdas = new Map(sources.map(({ name }) => [name, this.lambdaOf(name)]));
    const own = this.lambdas.get(layer.name);
    if (own) lambdas.set(layer.name, own);
    const layers = quantise(alone, this.parameters, lambdas, weightBits);
    const plan = planEngine(
      { network: alone, layers, classes: [], resize: 'stretch', provenance: {} as Provenance },
      { ...DEFAULT_RUN_OPTIONS, schedule: 'layered', steps: TUNED_STEPS, blockLength: TUNED_STEPS - 1 },
    );
    return { stages: plan.stages, instance: backend.instantiate({ ...plan, statesOnDemand: false }), layers };
  }

  private source(name: string): IslandLayer {
    return { kind: 'island', name, inputs: [], graph: EMPTY_GRAPH, ...this.shapes.get(name)! };
  }

  /** Runs a layer alone on each photo; `visit` finds the instance after its last step. */
  private run(layer: Layer, visit: (photo: number, isolated: Isolated, stage: number) => void): void {
    const { store } = this.task;
    const isolated = this.isolate(layer);
    const { stages, instance } = isolated;
    const stage = stages.findIndex(({ name }) => name === layer.name);
    const step = TUNED_STEPS - 1;
    const island =
      layer.kind === 'island' ? new Island(stages[stage] as Island['stage'], instance) : undefined;
    const pixels = new Uint8Array(layer.inputs.includes(IMAGE) ? elements(this.shapes.get(IMAGE)!) : 0);
    const sent = layer.inputs.map(
      (name) => new Int8Array(name === IMAGE ? 0 : elements(this.shapes.get(name)!)),
    );
    try {
      for (let photo = 0; photo < this.photoCount; photo++) {
        if (layer.inputs.includes(IMAGE)) store.read(`${IMAGE}:counts`, photo, pixels);
        instance.begin(pixels);
        for (const index of stages.keys()) instance.run(index, 0, step);
        for (const [index, { name }] of stages.entries()) {
          instance.run(index, step, 1);
          const input = layer.inputs.indexOf(name);
          if (input >= 0)
            instance.emit(index, Int32Array.from(store.read(`${name}:counts`, photo, sent[input]!)));
        }
        if (island) {
          island.begin();
          for (const [i, name] of layer.inputs.entries())
            island.inputs[i]!.set(sent[layer.inputs.indexOf(name)]!);
          island.run();
          instance.emit(stage, island.counts);
        }
        visit(photo, isolated, stage);
      }
    } finally {
      instance.close();
    }
  }

  /** Puts the counts that a layer sends on each photo into the store. */
  private send(layer: Layer): void {
    const counts = new Int32Array(elements(this.shapes.get(layer.name)!));
    this.run(layer, (photo, { instance }, stage) => {
      instance.counts(stage, counts);
      this.task.store.write(`${layer.name}:counts`, photo, Int8Array.from(counts));
    });
  }

  /**
   * Visits every photo with f(a) of a layer's neurons as they stand, unrounded, (H, W, C), and the float network's
   * activation, in the float network's units.
   */
  private compare(layer: NeuronLayer, visit: (value: Float64Array, target: Float32Array) => void): void {
    const { height, width, channels } = this.shapes.get(layer.name)!;
    const value = new Float64Array(height * width * channels);
    const target = new Float32Array(value.length);
    const readTarget = (photo: number) => this.task.store.read(`${layer.name}:floats`, photo, target);
    if (layer.kind === 'island') {
      this.compareIsland(layer, value, (photo) => visit(value, readTarget(photo)));
      return;
    }
    const activated = activatedOf(layer);
    const { activation } = activated;
    const slopes = Float64Array.from({ length: channels }, (_, j) => negativeSlope(activated, j));
    const curve = isCurve(activation) ? curveOf(activation).f : undefined;
    const fires = !this.outputs.has(layer.name);
    this.run(layer, (photo, { instance, layers }, stage) => {
      const { threshold, negativeThreshold, lambda } = layers.find(({ name }) => name === layer.name)!;
      const unit = Float64Array.from(threshold, (theta, j) => lambda[j]! / (theta * TUNED_STEPS));
      if (!fires) instance.outputPotential(stage, value);
      else {
        const { counts, potential } = instance.state(stage);
        for (let i = 0, j = 0; i < value.length; i++) {
          const n = counts[i]!;
          // a curve's potential is its whole sum; of the others the spikes have been taken
          const taken = curve ? 0 : n * (n > 0 ? threshold[j]! : negativeThreshold[j]!);
          value[i] = potential[i]! + taken;
          if (++j === channels) j = 0;
        }
      }
      for (let i = 0, j = 0; i < value.length; i++) {
        const sum = value[i]! * unit[j]!;
        value[i] = curve ? curve(sum) : sum < 0 ? slopes[j]! * sum : sum;
        if (++j === channels) j = 0;
      }
      visit(value, readTarget(photo));
    });
  }

  /** An island's values as the float network computes them, from counts. */
  private compareIsland(layer: IslandLayer, value: Float64Array, visit: (photo: number) => void): void {
    const { floatNetwork, store } = this.task;
    const inputs = layer.inputs.map((name) => this.floatMap(name));
    const lambdas = layer.inputs.map((name) => this.lambdaOf(name));
    const output = this.floatMap(layer.name);
    for (let photo = 0; photo < this.photoCount; photo++) {
      for (const [i, name] of layer.inputs.entries()) {
        const { values } = inputs[i]!;
        const counts = store.read(`${name}:counts`, photo, new Int8Array(values.length));
        const lambda = lambdas[i]!;
        for (let at = 0; at < values.length; at++)
          values[at] = (counts[at]! * lambda[at % lambda.length]!) / TUNED_STEPS;
      }
      floatNetwork.forwardLayer(layer, inputs, output);
      value.set(output.values);
      visit(photo);
    }
  }

  /** λ of each channel, of those that are tried, whose counts are nearest the float network's activations. */
  private leastError(layer: NeuronLayer): Float64Array {
    const lambda = this.lambdas.get(layer.name)!;
    const channels = lambda.length;
    const tried = FACTORS.length;
    const quantum = new Float64Array(channels * tried);
    for (let j = 0; j < channels; j++)
      for (let k = 0; k < tried; k++) quantum[j * tried + k] = (lambda[j]! * FACTORS[k]!) / TUNED_STEPS;
    const inverse = quantum.map((q) => 1 / q);
    const errors = new Float64Array(channels * tried);
    this.compare(layer, (value, target) => {
      for (let i = 0, j = 0; i < value.length; i++) {
        const [x, a] = [value[i]!, target[i]!];
        // what is silent in both is so whatever λ is
        if (x !== 0 || a !== 0) {
          for (let at = j * tried, end = at + tried; at < end; at++) {
            let count = Math.floor(x * inverse[at]! + 0.5);
            if (count > LAYERED_STEPS) count = LAYERED_STEPS;
            else if (count < -LAYERED_STEPS) count = -LAYERED_STEPS;
            const difference = count * quantum[at]! - a;
            errors[at]! += difference * difference;
          }
        }
        if (++j === channels) j = 0;
      }
    });
    return lambda.map((value, j) => {
      let best = 0;
      for (let k = 1; k < tried; k++) if (errors[j * tried + k]! < errors[j * tried + best]!) best = k;
      return value * FACTORS[best]!;
    });
  }

  /** Mean of the float network's activation less what a layer's counts (or an output layer's potentials) say, by channel. */
  private meanError(layer: NeuronLayer): Float64Array {
    const lambda = this.lambdas.get(layer.name)!;
    const fires = !this.outputs.has(layer.name);
    const channels = lambda.length;
    const quantum = lambda.map((value) => value / TUNED_STEPS);
    const sums = new Float64Array(channels);
    let cells = 0;
    this.compare(layer, (value, target) => {
      for (let i = 0, j = 0; i < value.length; i++) {
        let x = value[i]!;
        if (fires) {
          const count = Math.floor(x / quantum[j]! + 0.5);
          x = Math.min(Math.max(count, -LAYERED_STEPS), LAYERED_STEPS) * quantum[j]!;
        }
        sums[j]! += target[i]! - x;
        if (++j === channels) j = 0;
      }
      cells += value.length / channels;
    });
    return sums.map((sum) => sum / cells);
  }
}

const elements = ({ height, width, channels }: Shape) => height * width * channels;

/** Trained parameters with a correction added to the biases. */
export function corrected(
  trained: { weights: Float32Array; bias: Float32Array } | undefined,
  correction: Float64Array,
): { weights: Float32Array; bias: Float32Array } {
  return {
    weights: trained?.weights ?? new Float32Array(0),
    bias: Float32Array.from(correction, (value, j) => (trained?.bias[j] ?? 0) + value),
  };
}
