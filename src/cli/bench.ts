import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { loadNative } from '../backend/native.js';
import {
  type Benchmark,
  checkSpikes,
  machine,
  measure,
  measureThroughput,
  preparePeers,
  type Row,
} from '../bench/benchmark.js';
import { type CostModel, fitCosts } from '../bench/cost-model.js';
import { benchmarkModel, INT8_RECIPES } from '../bench/model-benchmark.js';
import { measurePhotos } from '../bench/photos.js';
import { modelTable, photoTable, toMarkdown, toSvg } from '../bench/report.js';
import type { RowSpec } from '../bench/row.js';
import { METHODS, type Method } from '../engine/plan.js';
import { usageError } from '../errors.js';
import { writeWhole } from '../files.js';
import { listModels } from '../model/registry.js';
import { choice, countArgument, meanOption, numberArgument, orderOption, stdOption } from './options.js';
import { Progress } from './progress.js';

interface BenchOptions {
  photo: string;
  runs: number;
  size?: number;
  quick?: boolean;
  json?: boolean;
  peer?: string;
  svg?: string;
  photosOnly?: boolean;
  model?: string;
  steps?: number;
  onnx?: string;
  order?: 'RGB' | 'BGR';
  mean?: number[];
  std?: number[];
  calibration?: string;
  recipe?: string;
  images?: string;
  annotations?: string;
}

/** Options that say what a model is compared with: those that go with `--onnx`, and `--onnx` with `--model`. */
const MODEL_OPTIONS = ['steps', 'onnx', 'images', 'annotations'] as const;
const PEER_OPTIONS = ['order', 'mean', 'std', 'calibration', 'recipe'] as const;

const samplePhoto = fileURLToPath(new URL('../../samples/cat.jpg', import.meta.url));

/** Adds `spiking-yolo bench`. */
export function addBenchCommand(program: Command): void {
  program
    .command('bench')
    .description('measure every back-end and instruction set of this machine')
    .option('--photo <file>', 'photo to run on', samplePhoto)
    .option('--runs <n>', 'timed runs of each row, in turns (default: 7, with --quick 3)', numberArgument)
    .option('--size <px>', 'input size of tiny-yolo-voc (default 416)', numberArgument)
    .option('--quick', 'few rows, three runs if --runs does not say otherwise')
    .option(
      '--peer <name>',
      'measure a peer in the same run: onnxruntime (installs bench/peers on first use)',
    )
    .option('--json', 'one JSON object instead of Markdown tables')
    .option('--photos-only', 'decoding and resizing of photos only')
    .option('--svg <file>', 'also draw the time steps as a bar chart')
    .option('--model <name|file>', 'this model alone, layer by layer, on every back-end')
    .option('--steps <n>', 'its time steps (default: what it was tuned for, 16)', countArgument)
    .option('--onnx <file>', 'with --peer: the file that the model was converted from')
    .addOption(orderOption())
    .addOption(meanOption())
    .addOption(stdOption())
    .option('--calibration <dir>', 'with --onnx: the peer in int8, too, calibrated on 24 of these photos')
    .addOption(choice('--recipe <name>', 'what the peer computes in int8 (default conv-add)', INT8_RECIPES))
    .option('--images <dir>', 'with --model: annotated photos to measure mAP on')
    .option('--annotations <dir>', 'their PASCAL VOC annotations, one XML file a photo')
    .addHelpText(
      'after',
      `
Examples:
  spiking-yolo bench --quick                      (the best instruction set, a minute)
  spiking-yolo bench --json > bench.json
  spiking-yolo bench --peer onnxruntime           (in a checkout: what a tensor library takes on the same cores)
  spiking-yolo bench --model best.safetensors
  spiking-yolo bench --model best.safetensors --peer onnxruntime --onnx best.onnx --calibration photos`,
    )
    .action(bench);
}

const STEPS = 16;
/** Of the runs that dense and event-driven convolutions are compared on, at the paper's settings: fewer spikes a step. */
const SPARSE_STEPS = 64;

/** Which rows the machine can run, and which instruction sets it lacks. */
function planRows(
  { quick, runs }: BenchOptions,
  size: number,
): {
  specs: RowSpec[];
  methods: RowSpec[];
  skipped: Benchmark['skipped'];
} {
  const models = new Map(listModels().map(({ name, path }) => [name, path]));
  const paperNets = [
    { weightBits: 8 as const, model: models.get('tiny-yolo-voc') },
    { weightBits: 16 as const, model: models.get('tiny-yolo-voc-int16') },
  ].flatMap(({ weightBits, model }) => (model ? [{ net: 'tiny-yolo-voc', weightBits, model, size }] : []));
  const shipped = [
    { net: 'tiny-yolo-plus', weightBits: 8 as const, model: models.get('tiny-yolo-plus'), size: 320 },
    { net: 'tiny-yolo-voc', weightBits: 8 as const, model: models.get('tiny-yolo-voc'), size: 288 },
    {
      net: 'tiny-yolo-lite-voc',
      weightBits: 16 as const,
      model: models.get('tiny-yolo-lite-voc'),
      size: 256,
    },
  ].flatMap(({ model, ...rest }) => (model ? [{ ...rest, model }] : []));
  let sets: { name: string; supported: boolean; reason: string }[] = [];
  try {
    sets = loadNative().instructionSets;
  } catch {
    // no addon: WASM and the reference are what there is to measure
  }
  const native = sets.filter(({ supported }) => supported).map(({ name }) => name);
  const best = native[0];
  const threadCounts = [...new Set([1, availableParallelism()])];
  const base = { steps: STEPS, schedule: 'steps' as const, preset: 'default' as const, threads: 1, runs };
  const specs: RowSpec[] = [];
  const methods: RowSpec[] = [];
  for (const net of paperNets) {
    for (const isa of quick ? native.slice(0, 1) : native) {
      const slow = isa === 'portable';
      for (const threads of slow ? [1] : threadCounts) {
        specs.push({ ...base, ...net, backend: 'native', isa, threads, runs: slow ? 1 : runs });
        if (!slow) specs.push({ ...base, ...net, backend: 'native', isa, threads, schedule: 'layered' });
      }
      if (slow) continue;
      const one = { ...base, ...net, backend: 'native' as const, isa };
      specs.push({ ...one, method: 'every-word' });
      const sparse = { ...one, preset: 'paper' as const, steps: SPARSE_STEPS, runs: Math.min(runs, 3) };
      methods.push(sparse, ...METHODS.map((method) => ({ ...sparse, method })));
    }
    specs.push({ ...base, ...net, backend: 'wasm', runs: Math.min(runs, 3) });
    if (quick) continue;
    const reference = { ...base, ...net, steps: 2, runs: 1 };
    specs.push({ ...reference, backend: 'reference' }, { ...reference, backend: 'wasm', runs: 3 });
    if (best) specs.push({ ...reference, backend: 'native', isa: best, runs });
    specs.push({ ...base, ...net, backend: 'reference', schedule: 'layered', runs: 1 });
  }
  for (const net of shipped) {
    if (best)
      for (const threads of threadCounts)
        specs.push({ ...base, ...net, backend: 'native', isa: best, threads });
    specs.push({ ...base, ...net, backend: 'wasm', runs: Math.min(runs, 3) });
  }
  const skipped = sets
    .filter(({ supported }) => !supported)
    .map(({ name, reason }) => ({ isa: name, reason }));
  return { specs, methods, skipped };
}

/** Fits what convolutions cost by each method, an instruction set at a time. */
async function measureCosts(methods: readonly RowSpec[], photo: string): Promise<CostModel[]> {
  const costs: CostModel[] = [];
  for (const chosen of methods.filter(({ method }) => method === undefined)) {
    const { isa, weightBits, steps, runs } = chosen;
    const specs = methods.filter((spec) => spec.isa === isa && spec.weightBits === weightBits);
    const { rows } = await measure(specs, [], photo, runs, () => {});
    checkSpikes(rows.map(({ row }) => row));
    const layersOf = (wanted: Method | undefined) =>
      rows.find(({ spec }) => spec.method === wanted)!.row.layers;
    costs.push(fitCosts({ isa: isa!, weightBits, steps }, layersOf));
  }
  return costs;
}

/** Measures one model; throws `USAGE` for options that do not go together. */
async function benchModel(model: string, options: BenchOptions): Promise<void> {
  const { photo, runs, steps, quick, peer, onnx, calibration, recipe, images, annotations } = options;
  if (options.svg !== undefined)
    throw usageError('--svg draws the time steps of tiny-yolo-voc; leave out --model');
  if ((peer === undefined) !== (onnx === undefined))
    throw usageError('--peer and --onnx go together with --model: the file that it was converted from');
  if (options.size !== undefined)
    throw usageError('--size is that of tiny-yolo-voc; a model is measured at its own');
  if (options.photosOnly) throw usageError('--photos-only measures no model; leave out --model');
  if (recipe !== undefined && calibration === undefined)
    throw usageError('--recipe says what is computed in int8: add --calibration DIR');
  const unused = PEER_OPTIONS.find((name) => options[name] !== undefined);
  if (onnx === undefined && unused)
    throw usageError(`--${unused} says how the peer's file is run: add --onnx FILE`);
  if ((images === undefined) !== (annotations === undefined))
    throw usageError('--images and --annotations go together');
  const { order, mean, std } = options;
  const progress = new Progress(1, true);
  const result = await benchmarkModel(
    {
      ...{ model, photo, runs, steps, quick },
      ...(peer !== undefined && onnx !== undefined
        ? {
            peer: {
              name: peer,
              onnx: { onnx, order, mean, std },
              calibration,
              recipe: recipe ?? INT8_RECIPES[0]!,
            },
          }
        : {}),
      ...(images !== undefined && annotations !== undefined ? { photos: { images, annotations } } : {}),
    },
    (part, what) => progress.part(part, what),
  );
  progress.clear();
  const found = { machine: machine(), ...result };
  process.stdout.write(options.json ? `${JSON.stringify(found)}\n` : modelTable(found));
}

async function bench(given: Omit<BenchOptions, 'runs'> & { runs?: number }): Promise<void> {
  const options = { ...given, runs: given.runs ?? (given.quick ? 3 : 7) };
  const { photo, runs, size = 416 } = options;
  if (!(Number.isInteger(runs) && runs >= 1 && runs <= 1000))
    throw usageError(`--runs is ${runs}; expected 1 to 1000`);
  if (options.model !== undefined) return benchModel(options.model, options);
  if (options.photosOnly) {
    const rows = await measurePhotos(photo, runs);
    process.stdout.write(`${options.json ? JSON.stringify(rows) : photoTable(rows)}\n`);
    return;
  }
  const unused = [...MODEL_OPTIONS, ...PEER_OPTIONS].find((name) => options[name] !== undefined);
  if (unused) throw usageError(`--${unused} says how one model is measured: add --model NAME or FILE`);
  if (!(Number.isInteger(size) && size >= 32 && size <= 2048))
    throw usageError(`--size is ${size}; expected 32 to 2048`);
  const { specs, methods, skipped } = planRows(options, size);
  const threads = [...new Set(specs.map((spec) => spec.threads))];
  const peers = options.peer
    ? await preparePeers(options.peer, threads, specs[0]!.model, specs[0]!.size)
    : [];
  const progress = new Progress(1, true);
  const measured = await measure(specs, peers, photo, runs, (part, what) => progress.part(part, what));
  progress.clear();
  const pick = (wanted: (spec: RowSpec) => boolean): Row[] =>
    measured.rows.filter(({ spec }) => wanted(spec)).map(({ row }) => row);
  const all = measured.rows.map(({ row }) => row);
  checkSpikes(all);
  const workerCounts = [...new Set([1, availableParallelism()])];
  const result: Benchmark = {
    machine: machine(),
    rows: pick(({ method, schedule }) => method === undefined && schedule === 'steps'),
    denseOnly: pick(({ method }) => method !== undefined),
    layered: pick(({ schedule }) => schedule === 'layered'),
    peers: measured.peers,
    throughput: await measureThroughput(
      specs[0]!.net,
      photo,
      workerCounts,
      options.quick ? 8 : 24,
      Math.min(runs, 5),
    ),
    photos: await measurePhotos(photo, Math.min(runs, 5)),
    costs: await measureCosts(methods, photo),
    skipped,
  };
  if (options.svg !== undefined) await writeWhole(options.svg, toSvg(result));
  process.stdout.write(options.json ? `${JSON.stringify(result)}\n` : toMarkdown(result));
}
