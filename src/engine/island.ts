import { type Program, planGraph, runOnMaps } from '../tensor/graph.js';
import type { EngineInstance, StageStatistics } from './backend.js';
import type { IslandStage } from './plan.js';

/** Counts are clipped at ±127, as those of a layer that fires once. */
const LIMIT = 127;

/**
 * An island: computed once, when the whole input has come, in float64 from counts, and rounded to counts again. The same
 * numbers on every back-end: a product of matrices, the only loop that one may have of its own, is the same to the bit.
 */
export class Island {
  readonly stage: IslandStage;
  /** Cumulative counts N of each input, (H, W, C), to be filled in before `run`. */
  readonly inputs: Int32Array[];
  /** Counts that it sends, (outHeight, outWidth, channels). */
  readonly counts: Int32Array;
  statistics: StageStatistics = { spikes: 0, synapticOperations: 0, clipped: 0 };
  /** True if `counts` are what its graph has made of inputs. */
  ran = false;
  private readonly program: Program;
  private readonly values: Float64Array[];

  constructor(stage: IslandStage, instance: Pick<EngineInstance, 'multiply'>) {
    this.stage = stage;
    this.program = planGraph(
      stage.graph,
      stage.inputDims,
      instance.multiply && { multiply: instance.multiply.bind(instance) },
    );
    this.inputs = this.program.inputs.map(({ values }) => new Int32Array(values.length));
    this.values = this.inputs.map(({ length }) => new Float64Array(length));
    this.counts = new Int32Array(stage.outHeight * stage.outWidth * stage.channels);
  }

  begin(): void {
    this.counts.fill(0);
    this.ran = false;
    this.statistics = { spikes: 0, synapticOperations: 0, clipped: 0 };
  }

  /** N → N·λ/T, what the graph makes of it, → ⌊x·T/λ + ½⌋. A result that is no number sends nothing. */
  run(): void {
    const { stage, program, inputs, values, counts, statistics } = this;
    for (const [i, input] of inputs.entries()) {
      const factors = stage.inputFactors[i]!;
      const channels = factors.length;
      const target = values[i]!;
      for (let at = 0; at < target.length; at += channels)
        for (let c = 0; c < channels; c++) target[at + c] = input[at + c]! * factors[c]!;
    }
    const result = runOnMaps(program, values)[0]!.values;
    const cells = stage.outHeight * stage.outWidth;
    let [spikes, clipped] = [0, 0];
    this.ran = true;
    for (let c = 0; c < stage.channels; c++) {
      const factor = stage.outputFactors[c]!;
      for (let cell = 0; cell < cells; cell++) {
        const wanted = Math.floor(result[c * cells + cell]! * factor + 0.5);
        const count = Math.min(Math.max(wanted, -LIMIT), LIMIT);
        if (count !== wanted) clipped++;
        counts[cell * stage.channels + c] = count;
        spikes += Math.abs(counts[cell * stage.channels + c]!);
      }
    }
    statistics.spikes += spikes;
    statistics.clipped += clipped;
  }
}
