import { cfgError, reasonOf } from '../../errors.js';
import {
  type Activation,
  type ConvolutionalLayer,
  IMAGE,
  type Layer,
  type Network,
  type Shape,
} from '../../network/network.js';
import { addShape, inferShapes } from '../../network/shapes.js';

interface Option {
  value: string;
  line: number;
  used: boolean;
}

interface Section {
  name: string;
  line: number;
  options: Map<string, Option>;
}

/** Options that matter only while a network is trained, or that restate its default. */
const TRAINING_ONLY: Record<string, ReadonlySet<string>> = {
  net: new Set(
    'batch subdivisions momentum decay angle saturation exposure hue learning_rate burn_in max_batches policy steps scales max_crop min_crop flip power gamma step seq_scales time_steps adam B1 B2 eps max_epochs aspect random inputs max_ratio min_ratio center notruth clip'.split(
      ' ',
    ),
  ),
  convolutional: new Set(['dontload', 'dontloadscales', 'stopbackward', 'onlyforward', 'learning_rate']),
  maxpool: new Set(['stopbackward', 'onlyforward', 'dontload']),
  region: new Set(
    'bias_match jitter rescore object_scale noobject_scale class_scale coord_scale mask_scale absolute thresh random log sqrt max stopbackward onlyforward truth_thresh ignore_thresh'.split(
      ' ',
    ),
  ),
};

const ALIASES: Record<string, string> = { network: 'net', conv: 'convolutional', max: 'maxpool' };

function parseSections(text: string): Section[] {
  const sections: Section[] = [];
  const lines = text.split(/\r?\n|\r/);
  for (const [index, raw] of lines.entries()) {
    const line = index + 1;
    const content = raw.replace(/\s+/g, '');
    if (content === '' || content.startsWith('#') || content.startsWith(';')) continue;
    if (content.startsWith('[')) {
      const name = /^\[(\w+)\]$/.exec(content)?.[1];
      if (!name)
        throw cfgError(
          `line ${line}: "${raw.trim().slice(0, 60)}" is not a section header like [convolutional]`,
        );
      sections.push({ name: ALIASES[name] ?? name, line, options: new Map() });
      continue;
    }
    const [key, ...rest] = content.split('=');
    const section = sections.at(-1);
    if (rest.length === 0 || key === '') {
      throw cfgError(`line ${line}: expected "key=value", found "${raw.trim().slice(0, 60)}"`);
    }
    if (!section) throw cfgError(`line ${line}: option "${key}" stands before the first [section]`);
    if (section.options.has(key!))
      throw cfgError(`[${section.name}] line ${line}: option "${key}" is given twice`);
    section.options.set(key!, { value: rest.join('='), line, used: false });
  }
  return sections;
}

function take(section: Section, key: string): Option | undefined {
  const option = section.options.get(key);
  if (option) option.used = true;
  return option;
}

function integer(
  section: Section,
  key: string,
  fallback: number | undefined,
  min: number,
  max: number,
): number {
  const option = take(section, key);
  if (!option) {
    if (fallback !== undefined) return fallback;
    throw cfgError(`[${section.name}] line ${section.line}: "${key}" is missing`);
  }
  const value = /^-?\d+$/.test(option.value) ? Number(option.value) : Number.NaN;
  if (!(value >= min && value <= max)) {
    throw cfgError(
      `[${section.name}] line ${option.line}: "${key}" is "${option.value.slice(0, 40)}"; expected a whole number from ${min} to ${max}`,
    );
  }
  return value;
}

/** Refuses an option whose only supported value is its default. */
function requireValue(section: Section, key: string, value: number) {
  integer(section, key, value, value, value);
}

function refuseUnknown(section: Section) {
  for (const [key, option] of section.options) {
    if (!option.used && !TRAINING_ONLY[section.name]?.has(key)) {
      throw cfgError(`[${section.name}] line ${option.line}: option "${key}" is not supported`);
    }
  }
}

const ACTIVATIONS: ReadonlySet<string> = new Set<Activation>(['leaky', 'linear', 'relu']);

function convolutional(
  section: Section,
  name: string,
  input: string,
): ConvolutionalLayer & { batchNormalize: boolean } {
  const size = integer(section, 'size', 1, 1, 31);
  if (size % 2 === 0) {
    throw cfgError(
      `[convolutional] line ${take(section, 'size')!.line}: "size" is ${size}; only odd sizes are supported`,
    );
  }
  const explicitPadding = integer(section, 'padding', 0, 0, 31);
  const pad = integer(section, 'pad', 0, 0, 1);
  const activation = take(section, 'activation');
  // darknet's default is logistic, which integrate-and-fire neurons cannot express
  const activationName = activation?.value ?? 'logistic';
  if (!ACTIVATIONS.has(activationName)) {
    throw cfgError(
      `[convolutional] line ${activation?.line ?? section.line}: "activation" is "${activationName.slice(0, 40)}"; expected leaky, linear or relu`,
    );
  }
  requireValue(section, 'groups', 1);
  requireValue(section, 'flipped', 0);
  requireValue(section, 'binary', 0);
  requireValue(section, 'xnor', 0);
  return {
    kind: 'convolutional',
    name,
    inputs: [input],
    filters: integer(section, 'filters', 1, 1, 65536),
    size,
    stride: integer(section, 'stride', 1, 1, 31),
    padding: pad ? Math.floor(size / 2) : explicitPadding,
    activation: activationName as Activation,
    batchNormalize: integer(section, 'batch_normalize', 0, 0, 1) === 1,
  };
}

function region(section: Section, name: string, input: string): Layer {
  const classes = integer(section, 'classes', 20, 1, 10000);
  const count = integer(section, 'num', 1, 1, 1000);
  const option = take(section, 'anchors');
  // darknet's default is half a cell each
  const values = option ? option.value.split(',').map(Number) : new Array<number>(2 * count).fill(0.5);
  if (values.length !== 2 * count || !values.every((value) => Number.isFinite(value) && value > 0)) {
    throw cfgError(
      `[region] line ${option!.line}: "anchors" needs ${2 * count} positive numbers (num=${count}), found "${option!.value.slice(0, 60)}"`,
    );
  }
  requireValue(section, 'coords', 4);
  const softmax = integer(section, 'softmax', 0, 0, 1) === 1;
  requireValue(section, 'background', 0);
  const anchors = Array.from({ length: count }, (_, a): [number, number] => [
    values[2 * a]!,
    values[2 * a + 1]!,
  ]);
  return { kind: 'region', name, inputs: [input], classes, anchors, softmax };
}

/** A network as a darknet `.cfg` describes it, and which of its convolutions have batch-normalisation. */
export interface DarknetNetwork {
  network: Network;
  batchNormalized: ReadonlySet<string>;
}

/**
 * Parses a darknet `.cfg`: [net], [convolutional], [maxpool] and a final [region].
 * Throws `CFG`, naming section, key and line, for anything else.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { parseCfg } from 'spiking-yolo';
 *
 * const { network } = parseCfg(readFileSync('models/darknet/tiny-yolo-lite-voc.cfg', 'utf8'));
 * console.log(network.layers.at(-1).kind); // region
 * ```
 */
export function parseCfg(text: string): DarknetNetwork {
  const [net, ...sections] = parseSections(text);
  if (!net) throw cfgError('the file holds no section; expected [net] first');
  if (net.name !== 'net') throw cfgError(`[${net.name}] line ${net.line}: the first section must be [net]`);
  const input = {
    height: integer(net, 'height', undefined, 1, 8192),
    width: integer(net, 'width', undefined, 1, 8192),
    channels: integer(net, 'channels', undefined, 3, 3),
  };
  refuseUnknown(net);

  const layers: Layer[] = [];
  const batchNormalized = new Set<string>();
  const counts = { convolutional: 0, maxpool: 0, region: 0 };
  const shapes = new Map([[IMAGE, input as Shape]]);
  let previous = IMAGE;
  for (const section of sections) {
    if (layers.at(-1)?.kind === 'region') {
      throw cfgError(`[${section.name}] line ${section.line}: no section may follow [region]`);
    }
    let layer: Layer;
    if (section.name === 'convolutional') {
      const { batchNormalize, ...conv } = convolutional(section, `conv${++counts.convolutional}`, previous);
      if (batchNormalize) batchNormalized.add(conv.name);
      layer = conv;
    } else if (section.name === 'maxpool') {
      if (counts.convolutional === 0) {
        throw cfgError(
          `[maxpool] line ${section.line}: a pool before the first [convolutional] is not supported`,
        );
      }
      const stride = integer(section, 'stride', 1, 1, 64);
      const size = integer(section, 'size', stride, 1, 64);
      const padding = integer(section, 'padding', size - 1, 0, 128);
      layer = { kind: 'maxpool', name: `pool${++counts.maxpool}`, inputs: [previous], size, stride, padding };
    } else if (section.name === 'region') {
      layer = region(section, `region${++counts.region}`, previous);
    } else {
      throw cfgError(
        `[${section.name}] line ${section.line}: this kind of layer is not supported; expected convolutional, maxpool or region`,
      );
    }
    refuseUnknown(section);
    layers.push(layer);
    previous = layer.name;
    try {
      addShape(shapes, layer);
    } catch (error) {
      throw cfgError(`[${section.name}] line ${section.line}: ${reasonOf(error)}`, error);
    }
  }
  if (layers.at(-1)?.kind !== 'region') throw cfgError('the last section must be [region]');
  const head = layers.at(-2);
  if (head?.kind !== 'convolutional' || head.activation !== 'linear') {
    throw cfgError('the layer before [region] must be a [convolutional] with activation=linear');
  }
  try {
    inferShapes({ input, layers });
  } catch (error) {
    throw cfgError(reasonOf(error), error);
  }
  return { network: { input, layers }, batchNormalized };
}
