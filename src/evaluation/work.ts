/**
 * What a run costs apart from spikes, counted from the plan, and energy by the usual model (45 nm; Horowitz 2014):
 * memory traffic is not in it.
 */
import type { EnginePlan, PoolStage } from '../engine/plan.js';
import { denseMultiplications } from '../network/shapes.js';

/** Picojoules of an operation: a multiply-accumulate of the ANN, and an addition of the SNN. */
export const ENERGY_PJ = {
  /** 32-bit float. */
  float: { multiplyAccumulate: 4.6, addition: 0.9 },
  /** int8 multiply-accumulate, int32 addition. */
  integer: { multiplyAccumulate: 0.3, addition: 0.1 },
} as const;

/**
 * MAC-weighted spikes per neuron at which an SNN costs what its ANN does, layer 1 left out: 5.1 (float), 3 (integer).
 *
 * @example
 * ```ts
 * import { breakEven } from 'spiking-yolo';
 *
 * console.log(breakEven('float').toFixed(1)); // 5.1
 * ```
 */
export const breakEven = (model: keyof typeof ENERGY_PJ) =>
  ENERGY_PJ[model].multiplyAccumulate / ENERGY_PJ[model].addition;

/** Work of a photo that no spike decides. */
export interface FixedWork {
  /** Multiply-accumulates of the layers on the image, once a photo, without weights outside the border. */
  imageMultiplications: number;
  /** Multiply-accumulates of one dense pass of all other convolutions. */
  otherMultiplications: number;
  /** Additions of one dense pass: sums of maps, element by element. */
  additions: number;
  /** Potentials updated in T steps: neurons × the steps in which they may fire. */
  neuronUpdates: number;
  /** Comparisons of the spiking max-pools in T steps. */
  poolComparisons: number;
  /** Operations of one pass that both networks compute in floats, in islands and behind the output layers. */
  islandOperations: number;
  tailOperations: number;
}

const windowCells = (extent: number, out: number, { size, stride, offset }: PoolStage) => {
  let cells = 0;
  for (let o = 0; o < out; o++) {
    const start = o * stride - offset;
    cells += Math.min(extent, start + size) - Math.max(0, start);
  }
  return cells;
};

/**
 * Counts the work of a planned network over T steps.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_RUN_OPTIONS, fixedWork, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const { neuronUpdates } = fixedWork(planEngine(model, DEFAULT_RUN_OPTIONS), 16);
 * console.log(neuronUpdates); // 2056192
 * ```
 */
export function fixedWork({ stages, tailOperations = 0 }: EnginePlan, steps: number): FixedWork {
  const work = {
    imageMultiplications: 0,
    otherMultiplications: 0,
    additions: 0,
    neuronUpdates: 0,
    poolComparisons: 0,
    islandOperations: 0,
    tailOperations,
  };
  /** Steps in which a stage's input may change. */
  const active: number[] = [];
  for (const stage of stages) {
    if (stage.kind === 'pool') {
      const { height, width, channels, outHeight, outWidth } = stage;
      const before = active[stage.input]!;
      active.push(before);
      const cells = windowCells(height, outHeight, stage) * windowCells(width, outWidth, stage);
      work.poolComparisons += (cells - outHeight * outWidth) * channels * before;
      continue;
    }
    if (stage.kind === 'island') {
      active.push(1);
      work.islandOperations += stage.operations;
      continue;
    }
    if (stage.kind === 'gather') {
      active.push(Math.max(...stage.inputs.map((input) => active[input]!)));
      continue;
    }
    const multiplications = denseMultiplications(stage);
    const { outHeight, outWidth, filters, channels } = stage;
    if (stage.adds) work.additions += outHeight * outWidth * (channels - filters);
    else if (stage.input < 0) work.imageMultiplications += multiplications;
    else work.otherMultiplications += multiplications;
    const firing = Math.max(0, steps - stage.startDelay);
    active.push(firing);
    if (stage.fires) work.neuronUpdates += stage.outHeight * stage.outWidth * stage.filters * firing;
  }
  return work;
}

/** Energy of a photo in picojoules. */
export interface Energy {
  /** MACs of layer 1 once, an addition a synaptic operation, and as a MAC each what is computed in floats. */
  energyPicojoules: number;
  /** The same in integers. */
  integerEnergyPicojoules: number;
  /** What updating the neurons takes besides, an addition each; in neither of the above. */
  neuronUpdateEnergyPicojoules: number;
}

const inFloats = ({ islandOperations, tailOperations }: FixedWork) => islandOperations + tailOperations;

/**
 * Energy of a spiking run with so many synaptic operations after layer 1.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_RUN_OPTIONS, energyOf, fixedWork, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const work = fixedWork(planEngine(model, DEFAULT_RUN_OPTIONS), 16);
 * const perSpike = energyOf(work, 2e6).energyPicojoules - energyOf(work, 1e6).energyPicojoules;
 * console.log((perSpike / 1e6).toFixed(1)); // 0.9
 * ```
 */
export function energyOf(work: FixedWork, synapticOperations: number): Energy {
  const of = ({ multiplyAccumulate, addition }: { multiplyAccumulate: number; addition: number }) =>
    multiplyAccumulate * (work.imageMultiplications + inFloats(work)) + addition * synapticOperations;
  return {
    energyPicojoules: of(ENERGY_PJ.float),
    integerEnergyPicojoules: of(ENERGY_PJ.integer),
    neuronUpdateEnergyPicojoules: ENERGY_PJ.float.addition * work.neuronUpdates,
  };
}

/**
 * Energy of the ANN's one pass.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { annEnergyOf, decodeModel, DEFAULT_RUN_OPTIONS, fixedWork, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const work = fixedWork(planEngine(model, DEFAULT_RUN_OPTIONS), 16);
 * console.log((annEnergyOf(work).energyPicojoules / 1e9).toFixed(1)); // 1.7
 * ```
 */
export function annEnergyOf(work: FixedWork): Pick<Energy, 'energyPicojoules' | 'integerEnergyPicojoules'> {
  const energy = ({ multiplyAccumulate, addition }: { multiplyAccumulate: number; addition: number }) =>
    multiplyAccumulate * (work.imageMultiplications + work.otherMultiplications + inFloats(work)) +
    addition * work.additions;
  return {
    energyPicojoules: energy(ENERGY_PJ.float),
    integerEnergyPicojoules: energy(ENERGY_PJ.integer),
  };
}

/**
 * What memory costs if nothing is reused: 2.5 picojoules a byte (a 32 KB SRAM, 20 pJ for 64 bits; Horowitz 2014). Of a
 * multiply-accumulate of the ANN a weight and an activation are read (4 bytes each); of a synaptic operation the weight is read, the
 * potential read and written (4 bytes each); a spike is written and read once (4 bytes, its address).
 */
export const MEMORY_PJ_PER_BYTE = 2.5;
const FLOAT_OPERANDS = 8;
const POTENTIAL_ACCESSES = 8;
const SPIKE_ACCESSES = 8;

/** What a spiking run moves besides what {@link FixedWork} says. */
export interface Traffic {
  synapticOperations: number;
  spikes: number;
  /** Of a weight: 1 or 2. */
  weightBytes: number;
}

/**
 * Energy of a spiking run in picojoules, memory traffic included: arithmetic as in {@link energyOf}, and what
 * {@link MEMORY_PJ_PER_BYTE} says.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, DEFAULT_RUN_OPTIONS, energyWithMemory, fixedWork, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * const work = fixedWork(planEngine(model, DEFAULT_RUN_OPTIONS), 16);
 * const of = (synapticOperations) => energyWithMemory(work, { synapticOperations, spikes: 0, weightBytes: 1 });
 * console.log(((of(2e6) - of(1e6)) / 1e6).toFixed(1)); // 23.4
 * ```
 */
export function energyWithMemory(
  work: FixedWork,
  { synapticOperations, spikes, weightBytes }: Traffic,
): number {
  const inFull = work.imageMultiplications + inFloats(work);
  const bytes =
    FLOAT_OPERANDS * inFull +
    (weightBytes + POTENTIAL_ACCESSES) * synapticOperations +
    POTENTIAL_ACCESSES * work.neuronUpdates +
    SPIKE_ACCESSES * spikes;
  return (
    energyOf(work, synapticOperations).energyPicojoules +
    ENERGY_PJ.float.addition * work.neuronUpdates +
    MEMORY_PJ_PER_BYTE * bytes
  );
}

/**
 * The same of the ANN's one pass.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { annEnergyWithMemory, decodeModel, DEFAULT_RUN_OPTIONS, fixedWork, planEngine } from 'spiking-yolo';
 *
 * const model = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * console.log((annEnergyWithMemory(fixedWork(planEngine(model, DEFAULT_RUN_OPTIONS), 16)) / 1e9).toFixed(1)); // 9.1
 * ```
 */
export function annEnergyWithMemory(work: FixedWork): number {
  const operations = work.imageMultiplications + work.otherMultiplications + inFloats(work);
  return (
    annEnergyOf(work).energyPicojoules + MEMORY_PJ_PER_BYTE * FLOAT_OPERANDS * (operations + work.additions)
  );
}
