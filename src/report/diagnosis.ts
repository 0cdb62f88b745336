/** Where a conversion loses what its float network knows, layer by layer, and what to do about it. */

import type { SpikingDetector } from '../detection/detector.js';
import type { DetectionSettings } from '../detection/settings.js';
import type { SpikingModel } from '../model/spiking-model.js';
import type { FloatNetwork } from '../network/float-network.js';
import { outputNames } from '../network/network.js';

export interface LayerDiagnosis {
  layer: string;
  channels: number;
  /** Channels of whose neurons one in a hundred or more sends (nearly) all that Γ allows: what exceeds λ·Γ is lost. */
  saturated: number;
  /** Channels without one spike, though the float network's are not silent. */
  silent: number;
  /** Channels that send more than twice the spikes that their net counts need. */
  chattering: number;
  /** Channels whose λ is 8 times the layer's median or more, or an eighth of it or less. */
  outliers: number;
  /** Correlation of N·λ/T with the float network's activations. */
  correlation: number;
  /** ‖N·λ/T − activation‖ / ‖activation‖. */
  relativeError: number;
  /** Unit spikes per neuron and step. */
  firingRate: number;
}

/** Part of Γ a step that counts as all of it, and part of a channel's neurons that must be so. */
const SATURATED = 0.95;
const SATURATED_NEURONS = 0.01;
const CHATTER = 2;
const OUTLIER = 8;
/** Correlation below which a layer no longer says what the float network's does. */
const LOST = 0.5;
/** Correlation from which on boxes come out much as the float network's. */
const SOUND = 0.9;

/** Sums over the neurons of one layer. */
class LayerSums {
  readonly sent: Float64Array;
  readonly net: Float64Array;
  readonly saturated: Float64Array;
  readonly activity: Float64Array;
  private moments = { n: 0, x: 0, y: 0, xx: 0, yy: 0, xy: 0 };

  constructor(channels: number) {
    this.sent = new Float64Array(channels);
    this.net = new Float64Array(channels);
    this.saturated = new Float64Array(channels);
    this.activity = new Float64Array(channels);
  }

  /** One neuron after T steps: unit spikes sent, net count, its value in the float network's units and the float's. */
  add(channel: number, sent: number, count: number, limit: number, spiking: number, float: number): void {
    const { moments } = this;
    this.sent[channel]! += sent;
    this.net[channel]! += Math.abs(count);
    if (Math.abs(count) >= limit) this.saturated[channel]!++;
    this.activity[channel]! += Math.abs(float);
    moments.n++;
    moments.x += spiking;
    moments.y += float;
    moments.xx += spiking * spiking;
    moments.yy += float * float;
    moments.xy += spiking * float;
  }

  get correlation(): number {
    const { n, x, y, xx, yy, xy } = this.moments;
    const deviation = Math.sqrt((n * xx - x * x) * (n * yy - y * y));
    return deviation > 0 ? (n * xy - x * y) / deviation : 0;
  }

  get relativeError(): number {
    const { xx, yy, xy } = this.moments;
    return yy > 0 ? Math.sqrt(Math.max(0, xx - 2 * xy + yy) / yy) : 0;
  }

  get neurons(): number {
    return this.moments.n;
  }
}

/** Compares every firing layer with the float network's after T steps on some photos. */
export function diagnose(
  model: SpikingModel,
  detector: SpikingDetector,
  float: FloatNetwork,
  photos: readonly Uint8Array[],
  { steps, gamma }: DetectionSettings,
): LayerDiagnosis[] {
  const outputs = new Set(outputNames(model.network));
  const layers = model.layers.filter(({ name }) => !outputs.has(name));
  const sums = new Map(layers.map(({ name, lambda }) => [name, new LayerSums(lambda.length)]));
  for (const pixels of photos) {
    const sent = new Map<string, { before: Int32Array; total: Uint32Array }>();
    detector.simulation.begin(pixels);
    for (let step = 1; step <= steps; step++) {
      detector.simulation.advanceTo(step);
      for (const { name } of layers) {
        const { counts } = detector.simulation.state(name);
        const { before, total } = sent.get(name) ?? {
          before: new Int32Array(counts.length),
          total: new Uint32Array(counts.length),
        };
        for (let i = 0; i < counts.length; i++) total[i]! += Math.abs(counts[i]! - before[i]!);
        sent.set(name, { before: counts, total });
      }
    }
    float.forward(pixels, ({ name }, activation) => {
      const layer = layers.find((candidate) => candidate.name === name);
      if (!layer) return;
      const { lambda } = layer;
      const { before: counts, total } = sent.get(name)!;
      for (let i = 0; i < counts.length; i++) {
        const channel = i % lambda.length;
        const spiking = (counts[i]! * lambda[channel]!) / steps;
        sums
          .get(name)!
          .add(channel, total[i]!, counts[i]!, SATURATED * gamma * steps, spiking, activation[i]!);
      }
    });
  }
  return layers.map(({ name, lambda }) => {
    const layer = sums.get(name)!;
    const median = lambda.toSorted()[Math.floor(lambda.length / 2)]!;
    const count = (holds: (channel: number) => boolean) =>
      lambda.reduce((total, _, channel) => total + (holds(channel) ? 1 : 0), 0);
    return {
      layer: name,
      channels: lambda.length,
      saturated: count((c) => layer.saturated[c]! * lambda.length >= SATURATED_NEURONS * layer.neurons),
      silent: count((c) => layer.sent[c] === 0 && layer.activity[c]! > 0),
      chattering: count((c) => layer.sent[c]! > 0 && layer.sent[c]! > CHATTER * layer.net[c]!),
      outliers: count((c) => lambda[c]! >= OUTLIER * median || lambda[c]! * OUTLIER <= median),
      correlation: layer.correlation,
      relativeError: layer.relativeError,
      firingRate: layer.sent.reduce((sum, value) => sum + value, 0) / layer.neurons / steps,
    };
  });
}

const percent = (part: number, whole: number) => `${((100 * part) / whole).toFixed(0)} %`;

/** Answers "why is my mAP low?" in words, the most telling first. */
export function explain(
  layers: readonly LayerDiagnosis[],
  { neuron, pool, gamma, steps }: DetectionSettings,
): string[] {
  const words: string[] = [];
  const last = layers.at(-1)!;
  const agreement = `after ${steps} steps the spikes of ${last.layer}, which the boxes are read from, agree with the float network's activations at a correlation of ${last.correlation.toFixed(2)}, error ${last.relativeError.toFixed(2)}`;
  const first = layers.find(({ correlation }) => correlation < LOST);
  if (last.correlation < LOST) {
    words.push(
      `The float network is lost: ${agreement}. It begins at ${first!.layer} (${first!.correlation.toFixed(2)}).`,
    );
  } else {
    words.push(
      `The float network comes through${last.correlation < SOUND ? ', but damaged' : ''}: ${agreement}.`,
    );
  }
  const most = (of: 'saturated' | 'silent' | 'chattering' | 'outliers') =>
    layers.reduce((worst, layer) =>
      layer[of] / layer.channels > worst[of] / worst.channels ? layer : worst,
    );
  const silent = most('silent');
  if (silent.silent > 0.1 * silent.channels) {
    words.push(
      `${silent.layer}: ${percent(silent.silent, silent.channels)} of the channels never fire, though the float network's do: their λ is far above what they reach (section 3.2 of the paper). Use channel-norm, a lower percentile, or more steps.`,
    );
  }
  const saturated = most('saturated');
  if (saturated.saturated > 0.25 * saturated.channels) {
    words.push(
      `${saturated.layer}: ${percent(saturated.saturated, saturated.channels)} of the channels have 1 % of their neurons or more that fire as often as they may (${gamma} a step): what exceeds ${gamma}·λ is cut off. A normalisation by the channel's own λ, a higher percentile or a larger --gamma helps.`,
    );
  }
  const chattering = most('chattering');
  if (chattering.chattering > 0.1 * chattering.channels) {
    words.push(
      `${chattering.layer}: ${percent(chattering.chattering, chattering.channels)} of the channels send more than ${CHATTER} times the spikes that their counts need, up and down again.`,
    );
  }
  if (neuron === 'if')
    words.push('The neuron if never fires down: everything below zero, which leaky ReLU keeps, is lost.');
  if (neuron === 'signed') {
    words.push(
      'The neuron signed fires down at −θ instead of −θ/α: negative activations come out ten times too large (α = 0.1).',
    );
  }
  if (neuron === 'ibt') {
    words.push(
      'The neuron ibt cannot take a spike back: what was sent while the input still swung stays in its count.',
    );
  }
  if (pool !== 'exact') {
    words.push(
      `The pool ${pool} passes the spikes of one input at a time: while the estimates change places, spikes are lost or counted twice. The exact pool is not so.`,
    );
  }
  const outliers = most('outliers');
  if (outliers.outliers > 0) {
    words.push(
      `${outliers.layer}: the λ of ${outliers.outliers} of ${outliers.channels} channels is ${OUTLIER} times the median or an eighth of it; under layer-norm they would fire far too much or hardly at all.`,
    );
  }
  return words;
}
