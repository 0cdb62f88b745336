import type { Decoder } from '../decoding/readout.js';
import type { StepScore } from '../evaluation/evaluate.js';
import type { Finished } from './charts.js';
import type { LayerDiagnosis } from './diagnosis.js';
import { PAPER_NEURONS, PAPER_NORMS } from './experiments.js';

/** Cells as text, the first row the header. */
export type Table = string[][];

const map = (value: number) => value.toFixed(3).replace(/^0/, '');
const mapAndError = ({ map11, relativeError }: StepScore) => `${map(map11)} (${relativeError.toFixed(2)})`;

/** {none, layer, channel} × {if, signed, ibt} × {count, vmem}: mAP (error) at every step. */
export function ablationTable(finished: readonly Finished[]): Table {
  const paper = finished.filter(({ experiment }) => experiment.group === 'paper');
  const steps = paper[0]!.experiment.steps;
  const rows = PAPER_NORMS.flatMap((norm) =>
    PAPER_NEURONS.flatMap((neuron) =>
      (['count', 'vmem'] as Decoder[]).map((decode) => {
        const { report } = paper.find(
          ({ experiment }) => experiment.conversion.norm === norm && experiment.settings.neuron === neuron,
        )!;
        return [
          norm,
          neuron,
          decode,
          ...report.snn.filter((score) => score.decode === decode).map(mapAndError),
        ];
      }),
    ),
  );
  return [['norm', 'neuron', 'decoder', ...steps.map((step) => `T=${step}`)], ...rows];
}

/** mAP (error) of a group's experiments at every step; with `costs`, the spikes per neuron, MAC-weighted, too. */
export function stepsTable(finished: readonly Finished[], group: 'rules' | 'ours', costs = false): Table {
  const shown = finished.filter(({ experiment }) => experiment.group === group);
  // a preset has a T of its own
  const steps = [...new Set(shown.flatMap(({ experiment }) => experiment.steps))].sort((a, b) => a - b);
  const cell = (score: StepScore | undefined) => {
    if (!score) return '–';
    return costs
      ? `${mapAndError(score)} ${score.spikesPerNeuronMacWeighted.toFixed(2)}`
      : mapAndError(score);
  };
  return [
    ['settings', ...steps.map((step) => `T=${step}`)],
    ...shown.map(({ experiment, report }) => [
      experiment.label,
      ...steps.map((step) => cell(report.snn.find((score) => score.steps === step))),
    ]),
  ];
}

/** mAP with its interval at the last step of the paper's own configuration, `ibt` read from Vmem. */
export function summaryTable(finished: readonly Finished[]): Table {
  const interval = ([low, high]: readonly [number, number]) => `${map(low)}–${map(high)}`;
  const { ann } = finished[0]!.report;
  const rows = finished
    .filter(({ experiment }) => experiment.group === 'paper' && experiment.settings.neuron === 'ibt')
    .flatMap(({ experiment, report }) =>
      report.snn
        .filter(({ steps }) => steps === experiment.steps.at(-1))
        .map((score) => [
          `${experiment.conversion.norm}-norm, ibt, ${score.decode}, T=${score.steps}`,
          map(score.map11),
          interval(score.map11Interval),
          map(score.mapAll),
          ann.map11 > 0 ? `${((100 * score.map11) / ann.map11).toFixed(1)} %` : '–',
          score.spikesPerNeuronMacWeighted.toFixed(1),
          `${score.energyOfAnn.toFixed(1)}×`,
        ]),
    );
  return [
    [
      'network',
      'mAP 11-point',
      '95 % interval',
      'all-point',
      'of float',
      'spikes, MAC-weighted',
      'energy of float',
    ],
    ['float network', map(ann.map11), interval(ann.map11Interval), map(ann.mapAll), '100 %', '–', '1×'],
    ...rows,
  ];
}

/** One row a layer. */
export const diagnosisTable = (layers: readonly LayerDiagnosis[]): Table => [
  [
    'layer',
    'channels',
    'saturated',
    'silent',
    'chattering',
    'λ outliers',
    'correlation',
    'error',
    'firing rate',
  ],
  ...layers.map((layer) => [
    layer.layer,
    ...[layer.channels, layer.saturated, layer.silent, layer.chattering, layer.outliers].map(String),
    ...[layer.correlation, layer.relativeError, layer.firingRate].map((value) => value.toFixed(3)),
  ]),
];

/** A table in Markdown. */
export const toMarkdownTable = ([header, ...rows]: Table): string =>
  [header!, header!.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
