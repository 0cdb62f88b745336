import type { ConversionOptions, TrainedNetwork } from '../conversion/convert.js';
import { type FloatDetector, SpikingDetector } from '../detection/detector.js';
import {
  DEFAULT_SETTINGS,
  type DetectionSettings,
  PAPER_SETTINGS,
  type Preset,
} from '../detection/settings.js';
import type { Backend } from '../engine/backend.js';
import type { AnnotatedPhoto } from '../evaluation/annotated-photos.js';
import { readPhotoFile } from '../image/read-resized.js';
import type { Photo } from '../image/resize.js';
import type { Resize, SpikingModel } from '../model/spiking-model.js';
import { layerActivity, neuronResponses, normalisedMaxima } from './activity.js';
import {
  ablationChart,
  type Chart,
  costChart,
  distributionChart,
  errorChart,
  type Finished,
  firingRateChart,
  mapChart,
  maximaChart,
  neuronChart,
} from './charts.js';
import { diagnose, explain } from './diagnosis.js';
import { OWN_CONVERSION, PAPER_CONVERSION, type PlannedExperiment, STEP_BY_STEP } from './experiments.js';
import type { Section } from './page.js';
import { type Panel, photoPanels } from './photo-panels.js';
import { ablationTable, diagnosisTable, stepsTable, summaryTable } from './tables.js';

/** What the report is made from, and where it goes. */
export interface ReportOptions {
  trained: TrainedNetwork;
  /** Name of the network, for titles. */
  name: string;
  /** Converts the trained network; called once for each choice of λ. */
  convert: (options: ConversionOptions) => Promise<SpikingModel>;
  photos: readonly AnnotatedPhoto[];
  /** The photo of figures 7 and 8. */
  photo: string;
  /** Folder to write into; measurements are kept in its `state/` and not made again. */
  out: string;
  /** A preset of the tuned network that is measured, too. */
  preset?: Preset | undefined;
  /** Steps of the paper's experiments, ascending. */
  steps: number[];
  resize: Resize;
  /** Layer of figures 3 and 4. */
  layer: string;
  /** Channel of figure 3, from 1; default: the one whose largest activation is the smallest part of the layer's. */
  channel?: number | undefined;
  backend: Backend;
  threads: number;
}

/** Photos that figures 3 and 4 and the diagnosis look at. */
const ACTIVITY_PHOTOS = 4;
/** Most steps of figures 3 and 4, as in the paper; of the diagnosis; and of figure 5. */
const ACTIVITY_STEPS = 1000;
const DIAGNOSIS_STEPS = 256;
const NEURON_STEPS = 32;

export type Drawable = Section & { chart?: Chart };
export type ModelOf = (choice: PlannedExperiment['conversion']) => Promise<SpikingModel>;

export function experimentSections(finished: readonly Finished[]): Drawable[] {
  const n = `${finished[0]!.report.images} photos.`;
  const paper = 'The paper’s settings: λ at 99.9 %, gate:avg, one spike a step.';
  return [
    {
      id: 'fig6',
      title: 'Figure 6: mAP over time steps',
      caption: [n, paper, 'Signed neurons with imbalanced threshold (ibt).'],
      chart: mapChart(finished),
      tables: [{ table: summaryTable(finished) }],
    },
    {
      id: 'ablation',
      title: 'Ablation: normalisation × neuron × decoder',
      caption: [n, paper, 'The chart reads Vmem; the table gives mAP (error of the output map).'],
      chart: ablationChart(finished),
      tables: [{ table: ablationTable(finished) }],
    },
    {
      id: 'error',
      title: 'Error over time steps: every neuron with every pool',
      caption: [n, 'Channel-norm at 99.9 % as in the paper, one spike a step unless Γ says otherwise.'],
      chart: errorChart(finished),
      tables: [{ title: 'mAP (error)', table: stepsTable(finished, 'rules') }],
    },
    {
      id: 'cost',
      title: 'mAP over synaptic operations and energy',
      caption: [
        n,
        'The paper’s two curves and this project’s. Energy: 45 nm, 32-bit floats, 4.6 pJ a multiply-accumulate and 0.9 pJ an addition (Horowitz 2014); memory traffic and neuron updates are not in it.',
        'A layer-synchronous run of T steps would take about layers × T steps on hardware that sends one spike a step.',
      ],
      chart: costChart(finished),
      tables: [
        {
          title: 'mAP (error) spikes per neuron, MAC-weighted',
          table: stepsTable(finished, 'ours', true),
        },
      ],
    },
  ];
}

async function readable(photos: readonly AnnotatedPhoto[], count: number): Promise<Photo[]> {
  const found: Photo[] = [];
  for (const { path } of photos) {
    if (found.length === count) break;
    const photo = await readPhotoFile(path).catch(() => undefined);
    if (photo) found.push(photo);
  }
  return found;
}

export async function activitySections(
  { photos, steps, resize, layer, channel: given, backend, threads }: ReportOptions,
  modelOf: ModelOf,
): Promise<Drawable[]> {
  const [layerNorm, channelNorm] = [
    await modelOf({ norm: 'layer', ...PAPER_CONVERSION }),
    await modelOf({ norm: 'channel', ...PAPER_CONVERSION }),
  ];
  const maxima = normalisedMaxima(channelNorm, layerNorm);
  const own = maxima.find((one) => one.layer === layer)!.values;
  const channel = given ?? own.indexOf(Math.min(...own)) + 1;
  const total = Math.min(ACTIVITY_STEPS, steps.at(-1)!);
  const pictures = await readable(photos, ACTIVITY_PHOTOS);
  const activity = (model: SpikingModel) => {
    const detector = new SpikingDetector(model, { ...PAPER_SETTINGS, steps: total }, backend, threads);
    const pixels = pictures.map((photo) => detector.resize(photo, resize));
    const result = layerActivity(detector, pixels, layer, channel - 1, total);
    detector.close();
    return result;
  };
  const compared = { layer: activity(layerNorm), channel: activity(channelNorm) };
  const inputs = Array.from({ length: 101 }, (_, i) => (i - 50) / 50);
  const on = `${pictures.length} photos, ${total} steps, ibt, gate:avg.`;
  return [
    {
      id: 'fig1',
      title: 'Figure 1: largest activation of each channel under layer-norm',
      caption: ['λ of the channel ÷ λ of the layer, both at 99.9 %. Blue: mean; red: least.'],
      chart: maximaChart(maxima),
    },
    {
      id: 'fig3',
      title: `Figure 3: spike counts of channel ${channel} of ${layer}`,
      caption: [on, `λ of the channel is ${own[channel - 1]!.toFixed(2)} times the layer's.`],
      chart: distributionChart(compared),
    },
    {
      id: 'fig4',
      title: `Figure 4: mean firing rate of every channel of ${layer}`,
      caption: [on, 'Net counts, |N| / T (eq. 6).'],
      chart: firingRateChart(compared),
    },
    {
      id: 'fig5',
      title: 'Figure 5: one neuron against a constant input',
      caption: [
        `${NEURON_STEPS} steps, α = 0.1, one spike a step. Grey: leaky(x) within 1/T, where count/T should be; if has no negative side, signed a tenfold one.`,
      ],
      chart: neuronChart(neuronResponses(inputs, NEURON_STEPS, backend)),
    },
  ];
}

/** Up to `count` of the values, the last among them, evenly chosen. */
const spread = (values: readonly number[], count: number) =>
  values.length <= count
    ? values
    : Array.from({ length: count }, (_, i) => values[Math.round(((i + 1) * values.length) / count) - 1]!);

export async function photoSection(
  { steps, resize, backend, threads }: ReportOptions,
  photo: Photo,
  modelOf: ModelOf,
  float: FloatDetector,
): Promise<Drawable> {
  const head = { ...DEFAULT_SETTINGS, resize };
  const rowOf = (
    name: string,
    model: SpikingModel,
    settings: DetectionSettings,
    shown: readonly number[],
  ) => {
    const detector = new SpikingDetector(model, { ...settings, steps: shown.at(-1)! }, backend, threads);
    const row: Panel[] = [];
    for (const { step, maps } of detector.readOuts(detector.resize(photo, resize), shown)) {
      row.push({ title: `${name}, T=${step}`, detections: detector.detections(maps('vmem'), photo, head) });
    }
    detector.close();
    return row;
  };
  const shown = spread(steps, 5);
  const rows = [
    [{ title: 'float network', detections: float.detect(photo, head).detections }],
    rowOf('layer-norm', await modelOf({ norm: 'layer', ...PAPER_CONVERSION }), PAPER_SETTINGS, shown),
    rowOf('channel-norm', await modelOf({ norm: 'channel', ...PAPER_CONVERSION }), PAPER_SETTINGS, shown),
    rowOf('this project', await modelOf(OWN_CONVERSION), STEP_BY_STEP, [4, 8, 16, 32]),
  ];
  return {
    id: 'fig7',
    title: 'Figures 7 and 8: boxes as time steps increase',
    caption: [
      'Score ≥ .25. Layer-norm and channel-norm as in the paper: ibt, gate:avg, one spike a step, Vmem.',
    ],
    svg: await photoPanels(photo, rows),
  };
}

export async function diagnosisSections(
  { photos, steps, resize, backend, threads }: ReportOptions,
  modelOf: ModelOf,
  float: FloatDetector,
): Promise<Drawable[]> {
  const pictures = await readable(photos, ACTIVITY_PHOTOS);
  const paperSteps = Math.min(DIAGNOSIS_STEPS, steps.at(-1)!);
  const paper = (neuron: DetectionSettings['neuron']) => ({ ...PAPER_SETTINGS, neuron, steps: paperSteps });
  const subjects = [
    ['no norm, ibt', { norm: 'none', ...PAPER_CONVERSION }, paper('ibt')],
    ['layer-norm, ibt', { norm: 'layer', ...PAPER_CONVERSION }, paper('ibt')],
    ['channel-norm, if', { norm: 'channel', ...PAPER_CONVERSION }, paper('if')],
    ['channel-norm, signed', { norm: 'channel', ...PAPER_CONVERSION }, paper('signed')],
    ['channel-norm, ibt: the paper', { norm: 'channel', ...PAPER_CONVERSION }, paper('ibt')],
    ['this project', OWN_CONVERSION, STEP_BY_STEP],
  ] as const;
  const sections: Drawable[] = [];
  for (const [i, [title, conversion, settings]] of subjects.entries()) {
    const model = await modelOf(conversion);
    const detector = new SpikingDetector(model, settings, backend, threads);
    const pixels = pictures.map((photo) => detector.resize(photo, resize));
    const layers = diagnose(model, detector, float.floatNetwork, pixels, settings);
    detector.close();
    sections.push({
      id: `diagnosis${i + 1}`,
      title: `Diagnosis: ${title}`,
      caption: [`${pictures.length} photos, ${settings.steps} steps.`],
      tables: [{ table: diagnosisTable(layers) }],
      findings: explain(layers, settings),
    });
  }
  return sections;
}
