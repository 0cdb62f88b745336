import { IMAGE, type Network, type Shape } from './network.js';
import { hasNeurons, operatorOf } from './ops/index.js';
import { inferShapes } from './shapes.js';

/** Where a channel's spikes come from: a channel of a layer that has neurons, or of the image. */
export interface Origin {
  layer: string;
  channel: number;
}

/** Origins of every channel of every map, by layer name: wiring is followed back to the neurons. */
export function traceWires(
  network: Network,
  shapes: ReadonlyMap<string, Shape> = inferShapes(network),
): Map<string, readonly Origin[]> {
  const own = (layer: string): Origin[] =>
    Array.from({ length: shapes.get(layer)!.channels }, (_, channel) => ({ layer, channel }));
  const origins = new Map<string, readonly Origin[]>([[IMAGE, own(IMAGE)]]);
  for (const layer of network.layers) {
    if (hasNeurons(layer)) {
      origins.set(layer.name, own(layer.name));
      continue;
    }
    const wires = operatorOf(layer).wires!(
      layer,
      layer.inputs.map((name) => shapes.get(name)!),
    );
    origins.set(
      layer.name,
      wires.map(({ input, channel }) => origins.get(layer.inputs[input]!)![channel]!),
    );
  }
  return origins;
}
