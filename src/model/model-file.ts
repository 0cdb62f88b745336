import { Fnv1a64 } from '../engine/checksum.js';
import { LAYERED_STEPS } from '../engine/plan.js';
import { modelError, reasonOf } from '../errors.js';
import { type Anchors, type Head, isTableHead, type Layer, type Network } from '../network/network.js';
import { isKind, operatorOf } from '../network/ops/index.js';
import { isWholeNumber } from '../network/ops/operator.js';
import { isTensorGraph, type TensorGraph } from '../tensor/graph.js';
import { checkModel, neuronLayers } from './bounds.js';
import { type Container, decodeSafetensors, encodeSafetensors, type TensorData } from './safetensors.js';
import {
  type FrugalPreset,
  type ModelChoices,
  NORMALISATIONS,
  type Provenance,
  RESIZES,
  type SpikingLayer,
  type SpikingModel,
  type TuningProvenance,
} from './spiking-model.js';

const FORMAT = 'spiking-yolo';
const FORMAT_VERSION = '2';

/** Constants of the tail are tensors `tail:<name>`, F64; those of an island `<its name>:<name>`. */
const TAIL = 'tail';

/** A network with the graphs that are computed in floats changed. */
const withGraphs = (
  network: Network,
  change: (graph: TensorGraph, owner: string) => TensorGraph,
): Network => ({
  ...network,
  layers: network.layers.map((layer) =>
    layer.kind === 'island' ? { ...layer, graph: change(layer.graph, layer.name) } : layer,
  ),
  ...(network.tail && { tail: change(network.tail, TAIL) }),
});

/** Every such graph and whose it is. */
const graphsOf = ({ layers, tail }: Network): [owner: string, graph: TensorGraph][] => [
  ...layers.flatMap((layer): [string, TensorGraph][] =>
    layer.kind === 'island' ? [[layer.name, layer.graph]] : [],
  ),
  ...(tail ? [[TAIL, tail] satisfies [string, TensorGraph]] : []),
];

/** A network as its header describes it: constants are tensors of their own. */
const withoutConstants = (network: Network): Network =>
  withGraphs(network, (graph) => ({ ...graph, constants: {} }));

/** Puts the constants back in place. */
function withConstants(network: Network, tensors: Container['tensors']): Network {
  return withGraphs(network, (graph, owner) => {
    const constants: TensorGraph['constants'] = {};
    for (const [name, { shape, data }] of tensors) {
      if (name.startsWith(`${owner}:`) && data instanceof Float64Array)
        constants[name.slice(owner.length + 1)] = { dims: shape, values: data };
    }
    return { ...graph, constants };
  });
}

/** FNV-1a 64 over everything a header says: finds a damaged header whose JSON is still valid. */
function headerDigest({ metadata, tensors }: Container): string {
  const { digest: _, ...described } = metadata;
  const sorted = (entries: [string, unknown][]) => entries.sort(([a], [b]) => (a < b ? -1 : 1));
  const shapes = sorted(
    [...tensors].map(([name, { shape, data }]) => [name, [data.BYTES_PER_ELEMENT, shape]]),
  );
  const text = JSON.stringify([sorted(Object.entries(described)), shapes]);
  return new Fnv1a64().update(new TextEncoder().encode(text)).digest();
}

/**
 * Serialises a model as one self-contained safetensors file, its bounds proved first. Tensors of layer `conv1`:
 * `conv1.weight` (filters, size, size, channels of a group) I16 or I8 (of a sum (filters, inputs)); `.bias`, `.threshold`, `.threshold_negative`, `.scale`
 * (filters) I32; `.lambda` (filters) F64; `.start_delay` (1) I32; of a tuned model `.correction` (filters) F64.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel, encodeModel } from 'spiking-yolo';
 *
 * const bytes = readFileSync('models/tiny-yolo-lite-voc.safetensors');
 * const model = decodeModel(bytes);
 * model.layers[2].startDelay = 4;
 * console.log(encodeModel(model).length - bytes.length < 100); // true
 * ```
 */
export function encodeModel(model: SpikingModel): Uint8Array<ArrayBuffer> {
  checkModel(model);
  const tensors: Container['tensors'] = new Map();
  const facts = neuronLayers(model.network);
  for (const [i, layer] of model.layers.entries()) {
    const { layer: described, synapses } = facts[i]!;
    const { filters, heard } = synapses;
    const perChannel = [filters];
    const add = (what: string, shape: number[], data: TensorData) =>
      tensors.set(`${layer.name}.${what}`, { shape, data });
    const kernel = described.kind === 'convolutional' ? [described.size, described.size] : [];
    add('weight', [filters, ...kernel, heard], layer.weights);
    add('bias', perChannel, layer.bias);
    add('threshold', perChannel, layer.threshold);
    add('threshold_negative', perChannel, layer.negativeThreshold);
    add('scale', perChannel, layer.scale);
    add('lambda', perChannel, layer.lambda);
    add('start_delay', [1], Int32Array.of(layer.startDelay));
    if (layer.correction) add('correction', perChannel, layer.correction);
  }
  for (const [owner, { constants }] of graphsOf(model.network))
    for (const [name, { dims, values }] of Object.entries(constants))
      tensors.set(`${owner}:${name}`, { shape: dims, data: values });
  const metadata: Record<string, string> = {
    format: FORMAT,
    format_version: FORMAT_VERSION,
    network: JSON.stringify(withoutConstants(model.network)),
    classes: JSON.stringify(model.classes),
    resize: model.resize,
    provenance: JSON.stringify(model.provenance),
    ...(model.presets ? { presets: JSON.stringify(model.presets) } : {}),
  };
  metadata.digest = headerDigest({ metadata, tensors });
  return encodeSafetensors({ metadata, tensors });
}

function isLayer(value: unknown): value is Layer {
  const layer = value as Layer;
  const named =
    typeof layer?.name === 'string' &&
    Array.isArray(layer.inputs) &&
    layer.inputs.every((i) => typeof i === 'string');
  return named && isKind(layer.kind) && operatorOf(layer).isValid(layer);
}

const isAnchors = (value: unknown): value is Anchors =>
  Array.isArray(value) &&
  value.every(
    (anchor) =>
      Array.isArray(anchor) &&
      anchor.length === 2 &&
      anchor.every((extent) => typeof extent === 'number' && extent > 0 && extent < 1e6),
  );

function isHead(value: unknown): value is Head {
  const head = value as Head;
  const common = typeof head?.input === 'string' && isWholeNumber(head.classes, 1, 10000);
  if (!common) return false;
  if (isTableHead(head)) return true;
  if (!isAnchors(head.anchors)) return false;
  switch (head.kind) {
    case 'region':
      return typeof head.softmax === 'boolean';
    case 'yolo':
      return typeof head.scaleXY === 'number' && head.scaleXY >= 1 && head.scaleXY <= 10;
    default:
      return false;
  }
}

const isNames = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((name) => typeof name === 'string');

function isNetwork(value: unknown): value is Network {
  const network = value as Network;
  return (
    isWholeNumber(network?.input?.height, 1, 8192) &&
    isWholeNumber(network.input.width, 1, 8192) &&
    (network.input.channels === 3 || network.input.channels === 4) &&
    Array.isArray(network.layers) &&
    network.layers.every(isLayer) &&
    Array.isArray(network.heads) &&
    network.heads.every(isHead) &&
    (network.tail === undefined || isTensorGraph(network.tail))
  );
}

const isTuning = (value: unknown): value is TuningProvenance => {
  const { kind, steps, photos } = (value ?? {}) as TuningProvenance;
  return (
    ['bias', 'full'].includes(kind) && isWholeNumber(steps, 1, LAYERED_STEPS) && isWholeNumber(photos, 1, 1e6)
  );
};

const isFrugal = (value: unknown): value is FrugalPreset => {
  const { steps, coding, error, photos } = (value ?? {}) as FrugalPreset;
  return (
    isWholeNumber(steps, 1, LAYERED_STEPS) &&
    coding === 'phase' &&
    typeof error === 'number' &&
    error >= 0 &&
    error <= 1 &&
    isWholeNumber(photos, 1, 1e6)
  );
};

const isPresets = (value: unknown): value is NonNullable<SpikingModel['presets']> =>
  typeof value === 'object' && value !== null && (!('frugal' in value) || isFrugal(value.frugal));

function isProvenance(value: unknown): value is Provenance {
  const provenance = value as Provenance;
  return (
    typeof provenance === 'object' &&
    NORMALISATIONS.includes(provenance?.norm) &&
    typeof provenance.percentile === 'number' &&
    [8, 16].includes(provenance.weightBits) &&
    ['default', 'paper'].includes(provenance.preset) &&
    typeof provenance.cfgSha256 === 'string' &&
    typeof provenance.weightsSha256 === 'string' &&
    isWholeNumber(provenance.calibrationPhotos, 1, Number.MAX_SAFE_INTEGER) &&
    (provenance.tuning === undefined || isTuning(provenance.tuning))
  );
}

function parseField<T>(
  metadata: Record<string, string>,
  field: string,
  isValid: (value: unknown) => value is T,
): T {
  let value: unknown;
  try {
    value = JSON.parse(metadata[field] ?? 'missing');
  } catch (error) {
    throw modelError(`the header's "${field}" is missing or not JSON`, error);
  }
  if (!isValid(value))
    throw modelError(`the header's "${field}" is not what format version ${FORMAT_VERSION} describes`);
  return value;
}

/** The network that a container's header describes, if it is a model's and undamaged; throws `MODEL`. */
function networkOf(container: Container): Network {
  const { metadata, tensors } = container;
  if (metadata.format !== FORMAT) throw modelError('this safetensors file is not a spiking-yolo model');
  if (metadata.format_version !== FORMAT_VERSION) {
    throw modelError(
      `the model has format version ${metadata.format_version}, this program reads version ${FORMAT_VERSION}`,
    );
  }
  if (metadata.digest !== headerDigest(container))
    throw modelError('the header does not match its digest: the file is damaged');
  return withConstants(parseField(metadata, 'network', isNetwork), tensors);
}

/** What a model file says about how it is run, its bounds not proved; throws `MODEL`. */
export function readChoices(bytes: Uint8Array): ModelChoices {
  const { metadata } = decodeSafetensors(bytes);
  const { presets } = metadata;
  return {
    provenance: parseField(metadata, 'provenance', isProvenance),
    ...(presets === undefined ? {} : { presets: parseField(metadata, 'presets', isPresets) }),
  };
}

/**
 * Reads a model file and proves its bounds; throws `MODEL` for anything damaged, truncated or of another format.
 *
 * @example
 * ```ts
 * import { readFileSync } from 'node:fs';
 * import { decodeModel } from 'spiking-yolo';
 *
 * const { classes, resize, provenance } = decodeModel(readFileSync('models/tiny-yolo-lite-voc.safetensors'));
 * console.log(classes[7], resize, provenance.norm); // cat stretch channel
 * ```
 */
export function decodeModel(bytes: Uint8Array): SpikingModel {
  const container = decodeSafetensors(bytes);
  const { metadata, tensors } = container;
  const network = networkOf(container);

  const resize = RESIZES.find((known) => known === metadata.resize);
  if (!resize)
    throw modelError(`the header's "resize" is "${metadata.resize}"; expected ${RESIZES.join(', ')}`);
  let layers: SpikingLayer[];
  try {
    layers = neuronLayers(network).map(({ layer: { name } }) => {
      const get = <T extends TensorData>(
        what: string,
        ...types: (abstract new (
          ...args: never[]
        ) => T)[]
      ): T => {
        const data = tensors.get(`${name}.${what}`)?.data;
        if (!data || !types.some((type) => data instanceof type))
          throw modelError(`tensor ${name}.${what} is missing or of the wrong type`);
        return data as T;
      };
      return {
        name,
        weights: get<Int8Array | Int16Array>('weight', Int8Array, Int16Array),
        bias: get('bias', Int32Array),
        threshold: get('threshold', Int32Array),
        negativeThreshold: get('threshold_negative', Int32Array),
        scale: get('scale', Int32Array),
        lambda: get('lambda', Float64Array),
        startDelay: get('start_delay', Int32Array)[0] ?? -1,
        ...(tensors.has(`${name}.correction`) ? { correction: get('correction', Float64Array) } : {}),
      };
    });
  } catch (error) {
    throw modelError(reasonOf(error), error);
  }
  const model: SpikingModel = {
    network,
    layers,
    classes: parseField(metadata, 'classes', isNames),
    resize,
    provenance: parseField(metadata, 'provenance', isProvenance),
    ...(metadata.presets === undefined ? {} : { presets: parseField(metadata, 'presets', isPresets) }),
  };
  checkModel(model);
  return model;
}
