import type { ConvolutionStage, GatherStage, Stage } from './plan.js';
import { inputsOf } from './plan.js';

/** Weights of a dense convolution whose input's channels have changed places: `order` lists the old ones. */
function reordered(stage: ConvolutionStage, order: readonly number[]): ConvolutionStage {
  const { channels } = stage;
  const weights = stage.weights.slice();
  for (let first = 0; first < weights.length; first += channels)
    for (const [to, from] of order.entries()) weights[first + to] = stage.weights[first + from]!;
  return { ...stage, weights };
}

/**
 * Puts the channels of wiring in the order in which they lie in its inputs, so that they are copied in runs instead of one by
 * one (a channel shuffle mixes all of them), and the weights of the convolutions that hear them in the same order. Sums are
 * exact, so that no spike changes. Wiring stays as it is where anything else takes it.
 */
export function orderGathers(stages: readonly Stage[]): Stage[] {
  const result = [...stages];
  for (const [index, given] of stages.entries()) {
    if (given.kind !== 'gather') continue;
    const gather = result[index] as GatherStage;
    const { sources, shifts, channels } = gather;
    const consumers = [...stages.keys()].filter((i) => inputsOf(stages[i]!).includes(index));
    // what nobody hears is read from outside
    const free =
      consumers.length > 0 &&
      consumers.every((i) => {
        const consumer = stages[i]!;
        return consumer.kind === 'gather' || (consumer.kind === 'convolution' && !consumer.channelwise);
      });
    if (!free) continue;
    const key = (channel: number) => [
      shifts[channel]!,
      sources[2 * channel]!,
      sources[2 * channel + 1]!,
      channel,
    ];
    const order = Array.from({ length: channels }, (_, channel) => channel).sort((a, b) => {
      const [left, right] = [key(a), key(b)];
      const at = left.findIndex((value, i) => value !== right[i]);
      return at < 0 ? 0 : left[at]! - right[at]!;
    });
    if (order.every((channel, i) => channel === i)) continue;
    result[index] = {
      ...gather,
      sources: Int32Array.from(
        order.flatMap((channel) => [sources[2 * channel]!, sources[2 * channel + 1]!]),
      ),
      shifts: Uint8Array.from(order, (channel) => shifts[channel]!),
    };
    const placeOf = new Int32Array(channels);
    for (const [to, from] of order.entries()) placeOf[from] = to;
    for (const i of consumers) {
      const consumer = result[i]!;
      if (consumer.kind === 'convolution') result[i] = reordered(consumer, order);
      if (consumer.kind !== 'gather') continue;
      const moved = consumer.sources.slice();
      for (let at = 0; at < moved.length; at += 2)
        if (consumer.inputs[moved[at]!] === index) moved[at + 1] = placeOf[moved[at + 1]!]!;
      result[i] = { ...consumer, sources: moved };
    }
  }
  return result;
}
