import { dequantise } from '../conversion/quantise.js';
import { checkReadoutDelay, type Decoder, decodePotential, factorsOf } from '../decoding/readout.js';
import type { Backend, BackendName } from '../engine/backend.js';
import type { Coding } from '../engine/coding.js';
import { planEngine, type RunOptions, type Schedule, streamPlan } from '../engine/plan.js';
import { Simulation } from '../engine/simulation.js';
import { usageError } from '../errors.js';
import { type DetectionOptions, detectionsOf, type HeadInput, type PlacedHead } from '../heads/detections.js';
import type { Detection } from '../heads/nms.js';
import { LazyTable, rowAxisOf, type Table, wholeTable } from '../heads/rows.js';
import { networkInput, type Photo, placementOf } from '../image/resize.js';
import type { Resize, SpikingLayer, SpikingModel } from '../model/spiking-model.js';
import { createFloatNetwork, type FloatNetwork } from '../network/float-network.js';
import { isTableHead, type Network, outputNames, type Shape, type TableHead } from '../network/network.js';
import type { FoldedParameters } from '../network/parameters.js';
import { inferShapes } from '../network/shapes.js';
import { dimsOfMap, planGraph, runOnMaps, type TensorGraph } from '../tensor/graph.js';
import { planRows } from '../tensor/rows.js';
import type { DetectionSettings } from './settings.js';
import { READ_EVERY, Settling } from './settling.js';

/** Times in milliseconds. */
export interface ElapsedMs {
  /** Reading and decoding the file. */
  decode?: number;
  resize: number;
  /** The network: all time steps, or the float network's one pass. */
  network: number;
  /** Output decoding and non-maximum suppression. */
  postprocess: number;
}

interface CommonResult {
  width: number;
  height: number;
  detections: Detection[];
  elapsedMs: ElapsedMs;
  backend: { name: BackendName; isa: string };
  resize: Resize;
}

/** What a spiking run found, and what it cost. */
export interface SpikingResult extends CommonResult {
  schedule: Schedule;
  coding: Coding;
  /** T, or the step at which the run ended early. */
  steps: number;
  /** Of a run that may end early: true if its boxes had settled. */
  settled?: boolean;
  /** Spikes as sent, before the pool: unit spikes, or digits by the coding `phase`. */
  spikes: number;
  spikesPerNeuron: number;
  /** Synaptic operations after layer 1: spikes after the pool × weights each reaches. */
  sops: number;
  /** sops ÷ dense multiplications after layer 1. */
  spikesPerNeuronMacWeighted: number;
  /** Neurons that a layer-synchronous run clipped at Γ = 127. */
  clippedNeurons?: number;
  spikeChecksum?: string;
}

/** What the float network found. */
export interface FloatResult extends CommonResult {
  ann: { source: 'trained' | 'dequantised' };
}

/** When a run step by step may end before its last step. */
export type EarlyEnd = Pick<DetectionSettings, 'untilStable' | 'budgetMs'>;

/** Which detections are reported, and from what. */
export interface HeadOptions extends DetectionOptions {
  resize: Resize;
}

/** Maps of a network's output layers, each (H, W, C), in the order of the output layers. */
export type OutputMaps = readonly ArrayLike<number>[];

/** What the spiking and the float network share: how photos come in, and boxes out of the heads. */
abstract class HeadedDetector {
  private readonly network: Network;
  private readonly shapes: ReadonlyMap<string, Shape>;
  private readonly heads: readonly PlacedHead[];
  /** Tables that are computed behind the output layers, from their maps. */
  private readonly tables: ((maps: OutputMaps) => Table)[];
  private readonly classes: readonly string[];

  constructor(network: Network, classes: readonly string[]) {
    const shapes = inferShapes(network);
    const outputs = outputNames(network);
    this.network = network;
    this.shapes = shapes;
    const { tail } = network;
    const tables = tail ? network.heads.filter(isTableHead) : [];
    this.tables = tables.map((head) =>
      tableReader(
        { ...tail!, outputs: [head.input] },
        tail!.inputs.map((name) => dimsOfMap(shapes.get(name)!)),
        head,
      ),
    );
    this.heads = network.heads.map(
      (head): PlacedHead =>
        isTableHead(head)
          ? { head, output: tables.indexOf(head) }
          : { head, shape: shapes.get(head.input)!, output: outputs.indexOf(head.input) },
    );
    this.classes = classes;
  }

  /** Values of an output layer's map. */
  protected outputSize(name: string): number {
    const { height, width, channels } = this.shapes.get(name)!;
    return height * width * channels;
  }

  /** The shape of what the network takes. */
  get input(): Shape {
    return this.network.input;
  }

  /** A photo as the network takes it, (height, width, channels) bytes. */
  resize(photo: Photo, resize: Resize): Uint8Array {
    return networkInput(resize, photo, this.network.input);
  }

  /** Detections on a photo from the output maps that belong to it. */
  detections(maps: OutputMaps, photo: Pick<Photo, 'width' | 'height'>, options: HeadOptions): Detection[] {
    const { width, height } = this.network.input;
    const placement = placementOf(options.resize, photo.width, photo.height, width, height);
    return detectionsOf(this.network, this.heads, this.read(maps), this.classes, placement, options);
  }

  /** What heads read: the maps themselves, or what the tail makes of them. */
  private read(maps: OutputMaps): readonly HeadInput[] {
    return this.tables.length > 0 ? this.tables.map((table) => table(maps)) : maps;
  }
}

/** How the table is read that a graph puts out: row by row if it is computed so, else as a whole. */
function tableReader(
  graph: TensorGraph,
  dims: readonly number[][],
  head: TableHead,
): (maps: OutputMaps) => Table {
  const rows = planRows(graph, dims, rowAxisOf(head.kind));
  if (rows) {
    const table = new LazyTable(rows, head);
    return (maps) => {
      table.begin(maps);
      return table;
    };
  }
  const program = planGraph(graph, dims);
  return (maps) => wholeTable(head.kind, runOnMaps(program, maps)[0]!);
}

/**
 * A detector made of integrate-and-fire neurons, for one photo at a time.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_SETTINGS, readPhoto, selectBackend, SpikingDetector } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const detector = new SpikingDetector(model, { ...DEFAULT_SETTINGS, schedule: 'steps', steps: 32 }, selectBackend().backend);
 * const photo = await readPhoto('samples/cat.jpg');
 * for (const { step, maps } of detector.readOuts(detector.resize(photo, 'stretch'), [8, 32])) {
 *   const [best] = detector.detections(maps('vmem'), photo, { ...DEFAULT_SETTINGS, resize: 'stretch' });
 *   if (step === 32) console.log(best.class); // cat
 * }
 * detector.close();
 * ```
 */
export class SpikingDetector extends HeadedDetector {
  readonly simulation: Simulation;
  /** What the read-out needs of the output layers; the rest of the model is not kept. */
  private readonly outputs: (Pick<SpikingLayer, 'name' | 'threshold' | 'lambda'> & {
    size: number;
    /** V_d and the maps of each decoder, reused from photo to photo. */
    delayed: Float64Array;
    maps: Map<Decoder, Float64Array>;
  })[];
  private readonly options: RunOptions & { decode: Decoder; readoutDelay: number };
  private readonly backend: Backend;
  /**
   * Throws `USAGE` for options outside docs/engine.md. With `keepsStates` a checksum after each photo costs no second pass. With
   * `hold` the network is that of a stream: each picture goes on from what the last one left.
   */
  constructor(
    model: SpikingModel,
    options: RunOptions & { decode: Decoder; readoutDelay: number; keepsStates?: boolean },
    backend: Backend,
    threads = 1,
    hold?: number,
  ) {
    super(model.network, model.classes);
    this.outputs = outputNames(model.network).map((output) => {
      const { name, threshold, lambda } = model.layers.find((layer) => layer.name === output)!;
      const size = this.outputSize(output);
      return {
        name,
        threshold,
        lambda,
        size,
        delayed: new Float64Array(options.readoutDelay > 0 ? size : 0),
        maps: new Map(),
      };
    });
    this.options = options;
    this.backend = backend;
    const plan = { ...planEngine(model, options), ...(options.keepsStates ? { statesOnDemand: false } : {}) };
    const delays = plan.stages.flatMap((stage) =>
      stage.kind === 'convolution' && stage.fires ? [stage.startDelay] : [],
    );
    checkReadoutDelay(options.readoutDelay, options.steps, delays);
    this.simulation = new Simulation(hold === undefined ? plan : streamPlan(plan, hold), backend, threads);
  }

  /**
   * Boxes as time steps pass, every few steps and at the last one. Throws `USAGE` if the detector runs layer by layer: then they
   * are known at the last step only.
   */
  *boxesOverTime(
    pixels: Uint8Array,
    photo: Pick<Photo, 'width' | 'height'>,
    options: HeadOptions,
    every = READ_EVERY,
    onBlock?: (step: number) => void,
  ): Generator<{ step: number; detections: Detection[] }> {
    const { steps, readoutDelay, decode, schedule } = this.options;
    if (schedule === 'layered')
      throw usageError('boxes as time steps pass take a run step by step: the schedule steps');
    const listed: number[] = [];
    for (let step = readoutDelay + every; step < steps; step += every) listed.push(step);
    for (const { step, maps } of this.readOuts(pixels, [...listed, steps], onBlock))
      yield { step, detections: this.detections(maps(decode), photo, options) };
  }

  /** Runs until boxes have settled, or the time is up; at the least to the first read-out. */
  private detectEarly(
    pixels: Uint8Array,
    photo: Pick<Photo, 'width' | 'height'>,
    options: HeadOptions & EarlyEnd,
    onBlock?: (step: number) => void,
  ): { step: number; detections: Detection[]; settled: boolean } {
    const start = performance.now();
    const settling = new Settling(this.options.steps);
    let last = { step: 0, detections: [] as Detection[], settled: false };
    for (const { step, detections } of this.boxesOverTime(pixels, photo, options, READ_EVERY, onBlock)) {
      const settled = settling.observe(step, detections);
      last = { step, detections, settled };
      if ((settled && options.untilStable) || performance.now() - start >= options.budgetMs!) break;
    }
    return last;
  }

  get schedule(): Schedule {
    return this.options.schedule;
  }

  /** Simulates T steps, or fewer where `options` let it end early; `onBlock` is called after each block of them and may throw to stop. */
  detect(
    photo: Photo,
    options: HeadOptions & Partial<EarlyEnd>,
    extra: { checksum?: boolean | undefined; onBlock?: ((step: number) => void) | undefined } = {},
  ): SpikingResult {
    const start = performance.now();
    const pixels = this.resize(photo, options.resize);
    const resize = performance.now() - start;
    const result = this.detectPixels(pixels, photo, options, extra);
    return { ...result, elapsedMs: { ...result.elapsedMs, resize } };
  }

  /** As {@link detect}, of a photo that has been resized, (height, width, channels) bytes. */
  detectPixels(
    pixels: Uint8Array,
    photo: Pick<Photo, 'width' | 'height'>,
    options: HeadOptions & Partial<EarlyEnd>,
    extra: { checksum?: boolean | undefined; onBlock?: ((step: number) => void) | undefined } = {},
  ): SpikingResult {
    const { simulation } = this;
    const { untilStable = false, budgetMs = Number.POSITIVE_INFINITY } = options;
    const resized = performance.now();
    let [step, simulated] = [this.options.steps, 0];
    let detections: Detection[];
    let settled: boolean | undefined;
    if (untilStable || budgetMs < Number.POSITIVE_INFINITY) {
      const early = { ...options, untilStable, budgetMs };
      ({ step, detections, settled } = this.detectEarly(pixels, photo, early, extra.onBlock));
      simulated = performance.now();
    } else {
      const maps = this.outputMaps(pixels, extra.onBlock);
      simulated = performance.now();
      detections = this.detections(maps, photo, options);
    }
    const done = performance.now();
    const statistics = simulation.statistics();
    return {
      width: photo.width,
      height: photo.height,
      detections,
      schedule: this.options.schedule,
      coding: this.options.coding,
      steps: step,
      ...(settled === undefined ? {} : { settled }),
      spikes: statistics.spikes,
      spikesPerNeuron: statistics.spikesPerNeuron,
      sops: statistics.synapticOperations,
      spikesPerNeuronMacWeighted: statistics.spikesPerNeuronMacWeighted,
      ...(this.options.schedule === 'layered' ? { clippedNeurons: statistics.clipped } : {}),
      ...(extra.checksum ? { spikeChecksum: simulation.checksum() } : {}),
      elapsedMs: { resize: 0, network: simulated - resized, postprocess: done - simulated },
      backend: { name: this.backend.name, isa: this.backend.isa },
      resize: options.resize,
    };
  }

  /** The output maps in the float network's units after T steps. */
  outputMaps(pixels: Uint8Array, onBlock?: (step: number) => void): Float64Array[] {
    const [last] = this.readOuts(pixels, [this.options.steps], onBlock);
    return last!.maps(this.options.decode);
  }

  /**
   * Output maps at several steps, ascending, out of one simulation, by any decoder; `simulation` stands at the step
   * when its maps are given, and the next maps of a decoder take their place.
   */
  *readOuts(
    pixels: Uint8Array,
    steps: readonly number[],
    onBlock?: (step: number) => void,
  ): Generator<{ step: number; maps: (decoder: Decoder) => Float64Array[] }> {
    const { simulation } = this;
    const { readoutDelay, schedule, steps: planned } = this.options;
    if (schedule === 'layered' && (steps.length !== 1 || steps[0] !== planned))
      throw usageError(`a layer-synchronous run of ${planned} steps is read out after all of them only`);
    simulation.begin(pixels);
    if (readoutDelay > 0) {
      simulation.advanceTo(readoutDelay, onBlock);
      for (const { name, delayed } of this.outputs) simulation.outputPotential(name, delayed);
    }
    for (const step of steps) {
      simulation.advanceTo(step, onBlock);
      yield {
        step,
        maps: (decoder) =>
          this.outputs.map(({ name, threshold, lambda, size, delayed, maps }) => {
            const target = maps.get(decoder) ?? new Float64Array(size);
            maps.set(decoder, target);
            if (decoder === 'vmem' && readoutDelay === 0)
              return simulation.outputPotential(name, target, factorsOf(step, threshold, lambda));
            const reached = simulation.outputPotential(name, target);
            const before = readoutDelay > 0 ? delayed : undefined;
            return decodePotential(decoder, reached, before, step - readoutDelay, threshold, lambda, target);
          }),
      };
    }
  }

  close(): void {
    this.simulation.close();
  }
}

/**
 * The same pipeline without spikes.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_SETTINGS, FloatDetector, readPhoto, selectBackend } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const detector = FloatDetector.ofModel(model, selectBackend().backend);
 * const head = { ...DEFAULT_SETTINGS, resize: model.resize };
 * console.log(detector.detect(await readPhoto('samples/cat.jpg'), head).detections[0].class); // cat
 * ```
 */
export class FloatDetector extends HeadedDetector {
  readonly floatNetwork: FloatNetwork;
  private readonly source: 'trained' | 'dequantised';
  private readonly backend: Backend;

  constructor(
    trained: { network: Network; parameters: FoldedParameters; classes: readonly string[] },
    source: 'trained' | 'dequantised',
    backend: Backend,
  ) {
    super(trained.network, trained.classes);
    this.source = source;
    this.backend = backend;
    this.floatNetwork = createFloatNetwork(trained.network, trained.parameters, backend);
  }

  /** The float network that a model's integers stand for: W/s, λ undone. */
  static ofModel({ network, layers, classes }: SpikingModel, backend: Backend): FloatDetector {
    return new FloatDetector(
      { network, parameters: dequantise(network, layers), classes },
      'dequantised',
      backend,
    );
  }

  detect(photo: Photo, options: HeadOptions): FloatResult {
    const start = performance.now();
    const pixels = this.resize(photo, options.resize);
    const resized = performance.now();
    const maps = this.floatNetwork.forward(pixels);
    const computed = performance.now();
    const detections = this.detections(maps, photo, options);
    const done = performance.now();
    return {
      width: photo.width,
      height: photo.height,
      detections,
      ann: { source: this.source },
      elapsedMs: { resize: resized - start, network: computed - resized, postprocess: done - computed },
      backend: { name: this.backend.name, isa: this.backend.isa },
      resize: options.resize,
    };
  }
}
