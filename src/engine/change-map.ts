import { outputShapeOf } from './plan.js';
import type { Simulation } from './simulation.js';

/** Where in the network's input neurons changed with a picture, on a grid of cells of 8 × 8 pixels. */
export interface ChangeGrid {
  width: number;
  height: number;
  /** (height, width): the part of the neurons over a cell whose count changed, in 255ths, rounded up. */
  data: Uint8Array;
}

/** Pixels of the network's input that are a cell of the grid, along each axis. */
const CELL = 8;

/** Of each of `extent` rows (or columns) the first and the last of the grid's that it lies over. */
function spans(extent: number, grid: number): Int32Array {
  const result = new Int32Array(2 * extent);
  for (let i = 0; i < extent; i++) {
    const finer = extent >= grid;
    result[2 * i] = finer ? Math.floor((i * grid) / extent) : Math.ceil((i * grid) / extent);
    result[2 * i + 1] = finer ? result[2 * i]! : Math.ceil(((i + 1) * grid) / extent) - 1;
  }
  return result;
}

interface Watched {
  stage: number;
  height: number;
  width: number;
  channels: number;
  rows: Int32Array;
  columns: Int32Array;
  /** Counts as they last were, (height, width, channels). */
  kept: Int8Array;
}

/** Compares the counts of a stream's neurons from picture to picture, place by place. */
export class ChangeMap {
  private readonly simulation: Simulation;
  private readonly watched: Watched[] = [];
  private readonly grid: { width: number; height: number };
  /** Neurons over each cell, and how many of them changed. */
  private readonly neurons: Float64Array;
  private readonly changed: Float64Array;

  /** @param input of the network, in pixels */
  constructor(simulation: Simulation, input: { width: number; height: number }) {
    this.simulation = simulation;
    const [width, height] = [Math.ceil(input.width / CELL), Math.ceil(input.height / CELL)];
    this.grid = { width, height };
    this.neurons = new Float64Array(width * height);
    this.changed = new Float64Array(width * height);
    for (const [stage, planned] of simulation.plan.stages.entries()) {
      if (planned.kind !== 'island' && !(planned.kind === 'convolution' && planned.fires)) continue;
      const shape = outputShapeOf(planned);
      const cells = shape.height * shape.width;
      const watched = {
        stage,
        ...shape,
        rows: spans(shape.height, height),
        columns: spans(shape.width, width),
        kept: new Int8Array(cells * shape.channels),
      };
      this.watched.push(watched);
      for (let y = 0; y < shape.height; y++)
        for (let x = 0; x < shape.width; x++) this.add(this.neurons, watched, y, x, shape.channels);
    }
  }

  private add(to: Float64Array, { rows, columns }: Watched, y: number, x: number, amount: number): void {
    for (let row = rows[2 * y]!; row <= rows[2 * y + 1]!; row++)
      for (let column = columns[2 * x]!; column <= columns[2 * x + 1]!; column++)
        to[row * this.grid.width + column]! += amount;
  }

  /** Forgets the pictures seen, as the simulation does. */
  reset(): void {
    for (const { kept } of this.watched) kept.fill(0);
  }

  /** What the picture that has just gone through changed since the last one that was asked for. */
  update(): ChangeGrid {
    const { simulation, neurons, changed, grid } = this;
    changed.fill(0);
    for (const watched of this.watched) {
      if (simulation.changedIn(watched.stage) === 0) continue;
      const { height, width, channels, kept } = watched;
      const counts = simulation.countsOf(watched.stage);
      for (let y = 0, at = 0; y < height; y++) {
        for (let x = 0; x < width; x++) {
          let differing = 0;
          for (const end = at + channels; at < end; at++) {
            if (kept[at] === counts[at]) continue;
            kept[at] = counts[at]!;
            differing++;
          }
          if (differing > 0) this.add(changed, watched, y, x, differing);
        }
      }
    }
    return { ...grid, data: Uint8Array.from(changed, (sum, i) => Math.ceil((255 * sum) / neurons[i]!)) };
  }
}
