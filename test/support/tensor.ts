import type { Shape } from '../../src/network/network.js';
import { dimsOfMap, planGraph, runOnMaps, type TensorGraph } from '../../src/tensor/graph.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** Plans a graph and runs it once, on maps (H, W, C). */
export const runGraph = (
  graph: TensorGraph,
  maps: readonly ArrayLike<number>[],
  shapes: readonly Shape[],
): readonly Tensor[] => runOnMaps(planGraph(graph, shapes.map(dimsOfMap)), maps);
