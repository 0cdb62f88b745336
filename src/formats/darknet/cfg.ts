import { cfgError, reasonOf } from '../../errors.js';
import { ACTIVATIONS, type Activation } from '../../network/activations.js';
import {
  type Anchors,
  type Head,
  IMAGE,
  type Layer,
  type Network,
  type Shape,
} from '../../network/network.js';
import { addShape, checkHead, checkStructure } from '../../network/shapes.js';
import {
  integer,
  numbers,
  parseSections,
  refuseUnknown,
  requireValue,
  type Section,
  take,
} from './sections.js';

/** What is known of a network while its cfg is read. */
interface Reading {
  layers: Layer[];
  heads: Head[];
  /** Convolutions with batch-normalisation. */
  batchNormalized: Set<string>;
  shapes: Map<string, Shape>;
  /** Of each section the layer whose output it gives; undefined for a head, which nothing may take. */
  outputs: (string | undefined)[];
  counts: Map<string, number>;
}

const nameOf = ({ counts }: Reading, kind: string) => {
  const count = (counts.get(kind) ?? 0) + 1;
  counts.set(kind, count);
  return `${kind}${count}`;
};

const where = ({ name, line }: Section) => `[${name}] line ${line}`;

/** The output of the section before. */
function previous({ outputs }: Reading, section: Section): string {
  if (outputs.length === 0) return IMAGE;
  const output = outputs.at(-1);
  if (output === undefined)
    throw cfgError(`${where(section)}: takes the head before it; begin with a [route]`);
  return output;
}

/** The output of another section: below 0 counted from this one, else from the first. */
function outputOf({ outputs }: Reading, section: Section, key: string, layer: number): string {
  const index = layer < 0 ? outputs.length + layer : layer;
  const line = take(section, key)?.line ?? section.line;
  if (!(index >= 0 && index < outputs.length))
    throw cfgError(
      `[${section.name}] line ${line}: "${key}" names layer ${layer}, which is not before this one`,
    );
  const output = outputs[index];
  if (output === undefined)
    throw cfgError(`[${section.name}] line ${line}: "${key}" names layer ${layer}, which is a head`);
  return output;
}

function activationOf(section: Section, fallback: string): Activation {
  const option = take(section, 'activation');
  const name = option?.value ?? fallback;
  const known = ACTIVATIONS.find((activation) => activation === (name === 'swish' ? 'silu' : name));
  if (known) return known;
  throw cfgError(
    `[${section.name}] line ${option?.line ?? section.line}: "activation" is "${name.slice(0, 40)}"; expected ${ACTIVATIONS.join(', ')}`,
  );
}

function convolutional(section: Section, reading: Reading): Layer {
  const size = integer(section, 'size', 1, 1, 31);
  if (size % 2 === 0) {
    throw cfgError(
      `[convolutional] line ${take(section, 'size')!.line}: "size" is ${size}; only odd sizes are supported`,
    );
  }
  const explicitPadding = integer(section, 'padding', 0, 0, 31);
  const pad = integer(section, 'pad', 0, 0, 1);
  for (const key of ['flipped', 'binary', 'xnor']) requireValue(section, key, 0);
  const layer: Layer = {
    kind: 'convolutional',
    name: nameOf(reading, 'conv'),
    inputs: [previous(reading, section)],
    filters: integer(section, 'filters', 1, 1, 65536),
    size,
    stride: integer(section, 'stride', 1, 1, 31),
    padding: pad ? Math.floor(size / 2) : explicitPadding,
    groups: integer(section, 'groups', 1, 1, 65536),
    // darknet's default, which integrate-and-fire neurons cannot express
    activation: activationOf(section, 'logistic'),
  };
  if (integer(section, 'batch_normalize', 0, 0, 1) === 1) reading.batchNormalized.add(layer.name);
  return layer;
}

function maxpool(section: Section, reading: Reading): Layer {
  const input = previous(reading, section);
  if (input === IMAGE)
    throw cfgError(`${where(section)}: a pool before the first [convolutional] is not supported`);
  const stride = integer(section, 'stride', 1, 1, 64);
  const size = integer(section, 'size', stride, 1, 64);
  const padding = integer(section, 'padding', size - 1, 0, 128);
  return { kind: 'maxpool', name: nameOf(reading, 'pool'), inputs: [input], size, stride, padding };
}

function shortcut(section: Section, reading: Reading): Layer {
  const isLayer = (value: number) => Number.isInteger(value) && Math.abs(value) < 1e6;
  const from = numbers(section, 'from', undefined, isLayer, 'layers, as in -3');
  return {
    kind: 'add',
    name: nameOf(reading, 'add'),
    inputs: [previous(reading, section), ...from.map((layer) => outputOf(reading, section, 'from', layer))],
    activation: activationOf(section, 'linear'),
  };
}

/** One layer or several side by side; undefined, with its output noted, if it takes one whole layer. */
function route(section: Section, reading: Reading): Layer | string {
  const isLayer = (value: number) => Number.isInteger(value) && Math.abs(value) < 1e6;
  const layers = numbers(section, 'layers', undefined, isLayer, 'layers, as in -1,8');
  const groups = integer(section, 'groups', 1, 1, 65536);
  const group = integer(section, 'group_id', 0, 0, groups - 1);
  const inputs = layers.map((layer) => outputOf(reading, section, 'layers', layer));
  if (inputs.length === 1 && groups === 1) return inputs[0]!;
  const runs = inputs.map((name, input) => {
    const { channels } = reading.shapes.get(name)!;
    if (channels % groups !== 0)
      throw cfgError(`${where(section)}: ${groups} groups do not divide the ${channels} channels of a layer`);
    return { input, first: (channels / groups) * group, count: channels / groups };
  });
  return { kind: 'wiring', name: nameOf(reading, 'route'), inputs, runs };
}

function upsample(section: Section, reading: Reading): Layer {
  requireValue(section, 'scale', 1);
  const scale = integer(section, 'stride', 2, 1, 64);
  return { kind: 'upsample', name: nameOf(reading, 'upsample'), inputs: [previous(reading, section)], scale };
}

/** Anchors of a head: `count` pairs, darknet's default being .5 each. */
function anchorsOf(section: Section, count: number): Anchors {
  const fallback = new Array<number>(2 * count).fill(0.5);
  const expected = `${2 * count} positive numbers (num=${count})`;
  const values = numbers(section, 'anchors', fallback, (value) => value > 0, expected);
  if (values.length !== 2 * count)
    throw cfgError(
      `[${section.name}] line ${take(section, 'anchors')!.line}: "anchors" needs ${expected}, found ${values.length}`,
    );
  return Array.from({ length: count }, (_, a) => [values[2 * a]!, values[2 * a + 1]!]);
}

function region(section: Section, reading: Reading): Head {
  const classes = integer(section, 'classes', 20, 1, 10000);
  const anchors = anchorsOf(section, integer(section, 'num', 1, 1, 1000));
  requireValue(section, 'coords', 4);
  requireValue(section, 'background', 0);
  const softmax = integer(section, 'softmax', 0, 0, 1) === 1;
  return { kind: 'region', input: previous(reading, section), classes, anchors, softmax };
}

function yolo(section: Section, reading: Reading): Head {
  const classes = integer(section, 'classes', 20, 1, 10000);
  const count = integer(section, 'num', 1, 1, 1000);
  const all = anchorsOf(section, count);
  requireValue(section, 'new_coords', 0);
  const isAnchor = (value: number) => Number.isInteger(value) && value >= 0 && value < count;
  const everyAnchor = all.map((_, a) => a);
  const mask = numbers(section, 'mask', everyAnchor, isAnchor, `anchors from 0 to ${count - 1}`);
  const inRange = (value: number) => value >= 1 && value <= 10;
  const [scaleXY] = numbers(section, 'scale_x_y', [1], inRange, 'a number from 1 to 10');
  const anchors = mask.map((a) => all[a]!);
  return { kind: 'yolo', input: previous(reading, section), classes, anchors, scaleXY: scaleXY! };
}

const LAYERS: Record<string, (section: Section, reading: Reading) => Layer | string> = {
  convolutional,
  maxpool,
  shortcut,
  route,
  upsample,
  // drops nothing once a network is trained
  dropout: (section, reading) => previous(reading, section),
};
const HEADS: Record<string, (section: Section, reading: Reading) => Head> = { region, yolo };

function readSection(section: Section, reading: Reading): void {
  const { layers, heads, shapes, outputs } = reading;
  const { name } = section;
  if (Object.hasOwn(HEADS, name)) {
    const head = HEADS[name]!(section, reading);
    refuseUnknown(section);
    checkHead(shapes, head);
    const input = layers.find((layer) => layer.name === head.input);
    if (input?.kind !== 'convolutional' || input.activation !== 'linear')
      throw cfgError(`the layer before it must be a [convolutional] with activation=linear`);
    heads.push(head);
    outputs.push(undefined);
    return;
  }
  if (!Object.hasOwn(LAYERS, name))
    throw cfgError(
      `this kind of layer is not supported; expected ${[...Object.keys(LAYERS), ...Object.keys(HEADS)].join(', ')}`,
    );
  const layer = LAYERS[name]!(section, reading);
  refuseUnknown(section);
  if (typeof layer !== 'string') {
    addShape(shapes, layer);
    layers.push(layer);
  }
  outputs.push(typeof layer === 'string' ? layer : layer.name);
}

/** A network as a darknet `.cfg` describes it, and which of its convolutions have batch-normalisation. */
export interface DarknetNetwork {
  network: Network;
  batchNormalized: ReadonlySet<string>;
}

/**
 * Parses a darknet `.cfg`: [net], then [convolutional], [maxpool], [shortcut], [route], [upsample], and [region] or [yolo]
 * heads. Throws `CFG`, naming section, key and line, for anything else.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { parseCfg } from 'spiking-yolo';
 *
 * const { network } = parseCfg(readFileSync('models/darknet/tiny-yolo-lite-voc.cfg', 'utf8'));
 * console.log(network.heads[0].kind); // region
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
  const reading: Reading = {
    layers: [],
    heads: [],
    batchNormalized: new Set(),
    shapes: new Map([[IMAGE, input]]),
    outputs: [],
    counts: new Map(),
  };
  for (const section of sections) {
    try {
      readSection(section, reading);
    } catch (error) {
      const reason = reasonOf(error);
      throw reason.startsWith('[') ? error : cfgError(`${where(section)}: ${reason}`, error);
    }
  }
  const { layers, heads, batchNormalized, outputs } = reading;
  if (heads.length === 0 || outputs.at(-1) !== undefined)
    throw cfgError('the last section must be a head, [region] or [yolo]');
  const other = heads.find(({ classes }) => classes !== heads[0]!.classes);
  if (other)
    throw cfgError(`heads of ${heads[0]!.classes} and of ${other.classes} classes; expected one number`);
  const network = { input, layers, heads };
  try {
    checkStructure(network);
  } catch (error) {
    throw cfgError(reasonOf(error), error);
  }
  return { network, batchNormalized };
}
