import type { StepScore } from '../evaluation/evaluate.js';
import type { EvaluationReport } from '../evaluation/experiment.js';
import { describeShares } from '../network/operations.js';
import { csvLine } from './csv.js';

export const EVALUATION_FORMATS = ['text', 'json', 'csv'] as const;

/** The text of an evaluation, its last line ended. */
export function formatEvaluation(
  report: EvaluationReport,
  format: (typeof EVALUATION_FORMATS)[number],
): string {
  if (format === 'json') return `${JSON.stringify(report)}\n`;
  return `${(format === 'csv' ? csvLines(report) : textLines(report)).join('\n')}\n`;
}

const COSTS = [
  'relativeError',
  'spikesPerNeuron',
  'spikesPerNeuronMacWeighted',
  'sops',
  'neuronUpdates',
  'poolComparisons',
  'energyPicojoules',
  'integerEnergyPicojoules',
  'neuronUpdateEnergyPicojoules',
  'energyOfAnn',
  'memoryEnergyPicojoules',
  'memoryEnergyOfAnn',
] as const;

const NEUROBENCH = [
  'effectiveMacs',
  'effectiveAcs',
  'activationSparsity',
  'denseOperations',
  'footprint',
] as const;

function csvLines({ ann, snn }: EvaluationReport): string[] {
  const classes = Object.keys(ann.perClass);
  const header = [
    'network',
    'steps',
    'decode',
    'map11',
    'map11Low',
    'map11High',
    'mapAll',
    'mapAllLow',
    'mapAllHigh',
    ...COSTS,
    ...NEUROBENCH,
    ...classes.map((name) => `ap11 ${name}`),
    ...classes.map((name) => `apAll ${name}`),
  ];
  const row = (score: typeof ann | StepScore) => [
    ...('steps' in score ? ['snn', score.steps, score.decode] : ['ann', '', '']),
    ...[score.map11, ...score.map11Interval, score.mapAll, ...score.mapAllInterval],
    ...COSTS.map((name) => (score as Partial<StepScore>)[name] ?? ''),
    ...NEUROBENCH.map((name) => (score as Partial<StepScore>).neuroBench?.[name] ?? ''),
    ...classes.map((name) => score.perClass[name]?.ap11 ?? ''),
    ...classes.map((name) => score.perClass[name]?.apAll ?? ''),
  ];
  return [header, row(ann), ...snn.map(row)].map(csvLine);
}

const map = (value: number, [low, high]: readonly [number, number]) =>
  `${value.toFixed(3)} (${low.toFixed(2)}–${high.toFixed(2)})`;

function textLines({ ann, snn, images, breakEvenSpikes, inFloats, settings }: EvaluationReport): string[] {
  const rows = [
    [
      'steps',
      'decoder',
      'mAP 11-point',
      'all-point',
      'of float',
      'error',
      'spikes',
      'MAC-weighted',
      'energy',
      'with memory',
    ],
    ...snn.map((score) => [
      String(score.steps),
      score.decode,
      map(score.map11, score.map11Interval),
      map(score.mapAll, score.mapAllInterval),
      ann.map11 > 0 ? `${((100 * score.map11) / ann.map11).toFixed(1)} %` : '–',
      score.relativeError.toFixed(4),
      score.spikesPerNeuron.toFixed(2),
      score.spikesPerNeuronMacWeighted.toFixed(2),
      `${score.energyOfAnn.toFixed(2)}×`,
      `${score.memoryEnergyOfAnn.toFixed(2)}×`,
    ]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return [
    `${images} photos; float network (${settings.float}): mAP ${map(ann.map11, ann.map11Interval)} 11-point, ${map(ann.mapAll, ann.mapAllInterval)} all-point`,
    ...rows.map((row) => row.map((cell, column) => cell.padStart(widths[column]!)).join('  ')),
    `mAP with its 95 % interval over photos; error of the output map; spikes a neuron; energy of the float network's`,
    `(4.6 pJ a multiply-accumulate, 0.9 pJ an addition, memory traffic left out): equal at ${breakEvenSpikes.float.toFixed(1)} MAC-weighted spikes;`,
    'with memory: 2.5 pJ a byte besides, of weights, activations, potentials and spikes, none of them reused',
    ...describeShares(inFloats),
  ];
}
