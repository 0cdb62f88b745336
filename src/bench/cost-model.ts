import { METHODS, type Method } from '../engine/plan.js';
import type { LayerFacts } from './row.js';

/** What a convolution's parts cost, fitted to layers that were computed by each method. */
export interface CostModel {
  isa: string;
  weightBits: 16 | 8;
  /** Nanoseconds of a word in one step of a tile, for 16 filters at one output cell. */
  pairNanoseconds: number;
  /** The same by events, and of a list of them; in pairs of a tile. */
  eventPair: number;
  eventList: number;
  /** Nanoseconds of a neuron's update and pool in one step. */
  neuronNanoseconds: number;
  /** Mean of |fitted − measured| / measured over layers and methods. */
  meanError: number;
  /** Layers by name: how the time of each method compares with the dense one, and what was chosen. */
  layers: { name: string; events: number; density: number; chosenByEvents: number }[];
}

/** Solves the normal equations of a least-squares fit, (equations, unknowns), by elimination with pivots. */
export function leastSquares(rows: readonly (readonly number[])[], values: readonly number[]): number[] {
  const count = rows[0]!.length;
  const system = Array.from({ length: count }, (_, i) => [
    ...Array.from({ length: count }, (_, j) => rows.reduce((sum, row) => sum + row[i]! * row[j]!, 0)),
    rows.reduce((sum, row, at) => sum + row[i]! * values[at]!, 0),
  ]);
  for (let column = 0; column < count; column++) {
    const pivot = system
      .slice(column)
      .reduce((best, row) => (Math.abs(row[column]!) > Math.abs(best[column]!) ? row : best));
    const at = system.indexOf(pivot);
    [system[column], system[at]] = [pivot, system[column]!];
    if (pivot[column] === 0) continue;
    for (const row of system) {
      if (row === pivot) continue;
      const factor = row[column]! / pivot[column]!;
      for (let j = column; j <= count; j++) row[j]! -= factor * pivot[j]!;
    }
  }
  return system.map((row, i) => (row[i] === 0 ? 0 : row[count]! / row[i]!));
}

/**
 * Fits what pairs, lists and neurons cost to the layers' times, each counting as much as any other.
 *
 * @param layersOf the layers of one network, computed by a method, or as measured activity has it
 */
export function fitCosts(
  { isa, weightBits, steps }: Pick<CostModel, 'isa' | 'weightBits'> & { steps: number },
  layersOf: (method: Method | undefined) => readonly LayerFacts[],
): CostModel {
  const layers = layersOf(undefined).flatMap(({ name, neurons, load, density }) => {
    if (!load || neurons === 0) return [];
    const of = (method: Method) => layersOf(method).find((layer) => layer.name === name)!.msPerStep * steps;
    const ms = Object.fromEntries(METHODS.map((method) => [method, of(method)])) as Record<Method, number>;
    return [{ name, neurons: neurons * steps, load, density, ms }];
  });
  // unknowns: a neuron, a pair of a tile, a pair by events, a list
  const equations = layers.flatMap(({ neurons, load, ms }) => [
    { row: [neurons, load.dense, 0, 0], ms: ms.dense },
    { row: [neurons, load.everyWord, 0, 0], ms: ms['every-word'] },
    { row: [neurons, 0, load.events, load.lists], ms: ms.events },
  ]);
  const solution = leastSquares(
    equations.map(({ row, ms }) => row.map((value) => value / ms)),
    equations.map(() => 1),
  );
  const [neuron, pair, event, list] = solution as [number, number, number, number];
  const errors = equations.map(({ row, ms }) =>
    Math.abs(row.reduce((sum, value, i) => sum + value * solution[i]!, 0) / ms - 1),
  );
  return {
    isa,
    weightBits,
    pairNanoseconds: pair * 1e6,
    eventPair: event / pair,
    eventList: list / pair,
    neuronNanoseconds: neuron * 1e6,
    meanError: errors.reduce((sum, error) => sum + error, 0) / errors.length,
    layers: layers.map(({ name, ms, density, load }) => ({
      name,
      events: ms.events / ms.dense,
      density,
      chosenByEvents: load.eventBlocks / load.blocks,
    })),
  };
}
