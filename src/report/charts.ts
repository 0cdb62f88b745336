import { NEURONS, type Neuron } from '../engine/plan.js';
import { fileError } from '../errors.js';
import type { EvaluationReport } from '../evaluation/experiment.js';
import type { LayerActivity, NeuronResponse, NormalisedMaxima } from './activity.js';
import type { PlannedExperiment } from './experiments.js';

/** A Vega-Lite specification. */
export type Chart = Record<string, unknown>;

/** An experiment and what came of it. */
export interface Finished {
  experiment: PlannedExperiment;
  report: EvaluationReport;
}

const CONFIG = {
  background: 'white',
  padding: 12,
  config: {
    font: 'DejaVu Sans, Helvetica, Arial, sans-serif',
    axis: { labelFontSize: 11, titleFontSize: 12, grid: true, gridOpacity: 0.4 },
    legend: { labelFontSize: 11, titleFontSize: 12, labelLimit: 320 },
    title: { fontSize: 13, anchor: 'start' },
    view: { stroke: '#ccc' },
    concat: { spacing: 24 },
  },
};

/** Loads vega and vega-lite; throws `FILE` if they are not installed. */
export async function loadVega(): Promise<[typeof import('vega'), typeof import('vega-lite')]> {
  try {
    return await Promise.all([import('vega'), import('vega-lite')]);
  } catch (error) {
    throw fileError(
      'charts are drawn by vega, which is not installed: npm install vega@6 vega-lite@6.4.1',
      error,
    );
  }
}

/** Draws a chart as SVG. */
export async function drawChart(chart: Chart): Promise<string> {
  const [vega, vegaLite] = await loadVega();
  const { spec } = vegaLite.compile({ ...CONFIG, ...chart } as unknown as Parameters<
    typeof vegaLite.compile
  >[0]);
  return new vega.View(vega.parse(spec), { renderer: 'none' }).toSVG();
}

const quantitative = (field: string, title: string, scale?: object, more?: object) => ({
  field,
  type: 'quantitative',
  title,
  ...(scale ? { scale } : {}),
  ...more,
});
const nominal = (field: string, title: string, sort?: readonly string[]) => ({
  field,
  type: 'nominal',
  title,
  ...(sort ? { sort } : {}),
});
const steps = (values: readonly number[]) =>
  quantitative('steps', 'time steps', { type: 'log', nice: false }, { axis: { values, format: ',d' } });
const stepsOf = (finished: readonly Finished[]) => [
  ...new Set(finished.flatMap(({ experiment }) => experiment.steps)),
];
/** A dashed line across the chart and its label, drawn once. */
const reference = (axis: 'x' | 'y', value: number, label: string, color: string) => ({
  data: { values: [{}] },
  layer: [
    { mark: { type: 'rule', strokeDash: [6, 4], color }, encoding: { [axis]: { datum: value } } },
    {
      mark: { type: 'text', align: 'left', baseline: 'bottom', dx: 4, dy: -2, color, fontSize: 11 },
      encoding: {
        [axis]: { datum: value },
        [axis === 'x' ? 'y' : 'x']: { value: axis === 'x' ? 250 : 0 },
        text: { value: label },
      },
    },
  ],
});
const floatNetwork = (map11: number) => reference('y', 100 * map11, 'float network', '#444');

/** Neuron rules as charts name them (a bare "if" is a word of vega's own language). */
const RULE_NAMES: Record<Neuron, string> = {
  if: 'if (ReLU)',
  signed: 'signed (±1)',
  ibt: 'ibt (the paper)',
  'ibt-memory': 'ibt-memory',
};
const ruleNames = (neurons: readonly Neuron[]) => neurons.map((neuron) => RULE_NAMES[neuron]);

/** Figure 1: largest activation of each channel under layer-norm, with their mean (blue) and least (red). */
export const maximaChart = (maxima: readonly NormalisedMaxima[]): Chart => ({
  columns: 4,
  concat: maxima.map(({ layer, values }) => ({
    title: layer,
    width: 180,
    height: 130,
    layer: [
      {
        data: { values: values.map((value, channel) => ({ channel: channel + 1, value })) },
        mark: { type: 'point', filled: true, size: 14, opacity: 0.6, color: '#555' },
        encoding: { x: quantitative('channel', 'channel'), y: quantitative('value', 'normalised maximum') },
      },
      ...(
        [
          [values.reduce((sum, value) => sum + value, 0) / values.length, '#1f5fbf'],
          [Math.min(...values), '#c0392b'],
        ] as const
      ).map(([value, color]) => ({
        data: { values: [{}] },
        mark: { type: 'rule', color, strokeWidth: 1.5 },
        encoding: { y: { datum: value } },
      })),
    ],
  })),
});

/** What layer-norm and channel-norm make of the same layer. */
export interface Compared {
  layer: LayerActivity;
  channel: LayerActivity;
}

const COMPARED = [
  ['layer', 'layer-norm'],
  ['channel', 'channel-norm'],
] as const;

/** Figure 3: how many neurons of one channel reach which firing rate. */
export const distributionChart = (compared: Compared): Chart => ({
  width: 520,
  height: 240,
  data: {
    values: COMPARED.flatMap(([norm, name]) =>
      compared[norm].histogram.map((neurons, bin) => ({
        norm: name,
        rate: (100 * bin) / (compared[norm].histogram.length - 1),
        neurons,
      })),
    ),
  },
  mark: { type: 'bar', opacity: 0.65, width: 6 },
  encoding: {
    x: quantitative('rate', 'spike count, % of the time steps'),
    y: quantitative(
      'neurons',
      'neurons',
      { type: 'symlog' },
      { stack: null, axis: { values: [0, 1, 10, 100, 1e3, 1e4, 1e5, 1e6], format: ',d' } },
    ),
    color: nominal('norm', 'normalisation', ['layer-norm', 'channel-norm']),
  },
});

/** Figure 4: mean firing rate of every channel of a layer. */
export const firingRateChart = (compared: Compared): Chart => ({
  width: Math.max(520, Math.min(1100, compared.layer.firingRates.length * 12)),
  height: 240,
  data: {
    values: COMPARED.flatMap(([norm, name]) =>
      compared[norm].firingRates.map((rate, channel) => ({
        norm: name,
        channel: channel + 1,
        rate: 100 * rate,
      })),
    ),
  },
  mark: 'bar',
  encoding: {
    x: { field: 'channel', type: 'ordinal', title: 'channel', axis: { labelAngle: 0, labelOverlap: true } },
    xOffset: { field: 'norm', sort: ['layer-norm', 'channel-norm'] },
    y: quantitative('rate', 'mean firing rate, %'),
    color: nominal('norm', 'normalisation', ['layer-norm', 'channel-norm']),
  },
});

/** Figure 5: count/T over the input for every rule, leaky(x) ± 1/T grey; below, when an input of −0.8 makes it fire. */
export const neuronChart = (responses: readonly NeuronResponse[]): Chart => ({
  columns: NEURONS.length,
  concat: [
    ...NEURONS.map((neuron) => {
      const own = responses.filter((response) => response.neuron === neuron);
      const total = own[0]!.counts.length;
      return {
        title: RULE_NAMES[neuron],
        width: 210,
        height: 180,
        data: {
          values: own.map(({ x, target, counts }) => ({
            x,
            low: target - 1 / total,
            high: target + 1 / total,
            rate: counts.at(-1)! / total,
          })),
        },
        layer: [
          {
            mark: { type: 'area', color: '#bbb', opacity: 0.7 },
            encoding: {
              x: quantitative('x', 'input, thresholds a step'),
              y: quantitative('low', 'count / T'),
              y2: { field: 'high' },
            },
          },
          {
            mark: { type: 'point', filled: true, size: 10, color: '#c0392b' },
            encoding: {
              x: quantitative('x', 'input, thresholds a step'),
              y: quantitative('rate', 'count / T'),
            },
          },
        ],
      };
    }),
    ...NEURONS.map((neuron) => {
      const own = responses.filter((response) => response.neuron === neuron);
      const shown = own.reduce((best, one) => (Math.abs(one.x + 0.8) < Math.abs(best.x + 0.8) ? one : best));
      return {
        title: `count at an input of ${shown.x}`,
        width: 210,
        height: 110,
        data: {
          values: shown.counts.map((count, step) => ({
            step: step + 1,
            count,
            target: shown.target * (step + 1),
          })),
        },
        layer: [
          {
            mark: { type: 'line', interpolate: 'step', color: '#c0392b' },
            encoding: { x: quantitative('step', 'time step'), y: quantitative('count', 'N') },
          },
          {
            mark: { type: 'line', strokeDash: [4, 3], color: '#888' },
            encoding: { x: quantitative('step', 'time step'), y: quantitative('target', 'N') },
          },
        ],
      };
    }),
  ],
});

const scores = (finished: readonly Finished[]) =>
  finished.flatMap(({ experiment, report }) =>
    report.snn.map((score) => ({
      label: experiment.label,
      neuron: RULE_NAMES[experiment.settings.neuron],
      pool: experiment.settings.pool,
      norm: `${experiment.conversion.norm}-norm`,
      decode: score.decode,
      curve: `${experiment.conversion.norm}-norm, ${score.decode === 'vmem' ? 'Vmem' : 'spike count'}`,
      steps: score.steps,
      map: 100 * score.map11,
      error: score.relativeError,
      sops: score.sops,
      energy: score.energyOfAnn,
    })),
  );

const curves = (colour: object, field: string, xAxis: object, y: object) => ({
  mark: { type: 'line', point: { size: 30 } },
  encoding: { x: xAxis, y, color: { ...colour, field } },
});

const MAP = quantitative('map', 'mAP, % (11-point)', { zero: true });

/** Figure 6: mAP over time steps, {layer, channel} × {spike count, Vmem} with `ibt`, and the float network's line. */
export function mapChart(finished: readonly Finished[]): Chart {
  const shown = finished.filter(
    ({ experiment: { group, settings, conversion } }) =>
      group === 'paper' && settings.neuron === 'ibt' && conversion.norm !== 'none',
  );
  return {
    width: 560,
    height: 300,
    data: { values: scores(shown) },
    layer: [
      curves(nominal('curve', 'configuration'), 'curve', steps(stepsOf(shown)), MAP),
      floatNetwork(shown[0]!.report.ann.map11),
    ],
  };
}

/** The ablations: {none, layer, channel} × {if, signed, ibt}, read from Vmem. */
export function ablationChart(finished: readonly Finished[]): Chart {
  const shown = finished.filter(({ experiment }) => experiment.group === 'paper');
  const encoding = {
    x: steps(stepsOf(shown)),
    y: MAP,
    color: nominal('neuron', 'neuron', ruleNames(['ibt', 'signed', 'if'])),
  };
  return {
    width: 560,
    height: 300,
    data: { values: scores(shown).filter(({ decode }) => decode === 'vmem') },
    layer: [
      {
        mark: 'line',
        encoding: {
          ...encoding,
          strokeDash: nominal('norm', 'normalisation', ['channel-norm', 'layer-norm', 'none-norm']),
        },
      },
      // points of their own: with the line's, the legend of its dashes stays empty
      {
        mark: { type: 'point', filled: true, size: 30 },
        encoding: { ...encoding, detail: { field: 'norm' } },
      },
      floatNetwork(shown[0]!.report.ann.map11),
    ],
  };
}

/** Curves that are compared by what they cost: the paper's two and this project's. */
const costCurves = (finished: readonly Finished[]) =>
  scores(
    finished.filter(
      ({ experiment: { group, settings, conversion } }) =>
        group === 'ours' || (group === 'paper' && settings.neuron === 'ibt' && conversion.norm !== 'none'),
    ),
  ).filter(({ decode }) => decode === 'vmem');

/** mAP over what a photo costs: synaptic operations, and energy as a multiple of the float network's. */
export function costChart(finished: readonly Finished[]): Chart {
  const { ann, snn, breakEvenSpikes } = finished[0]!.report;
  const dense = snn[0]!.sops / snn[0]!.spikesPerNeuronMacWeighted;
  const panel = (field: string, title: string, at: number) => ({
    width: 440,
    height: 260,
    data: { values: costCurves(finished) },
    layer: [
      curves(nominal('label', 'configuration'), 'label', quantitative(field, title, { type: 'log' }), MAP),
      reference('x', at, 'as much as the float network', '#a33'),
      floatNetwork(ann.map11),
    ],
  });
  return {
    hconcat: [
      panel('sops', 'synaptic operations a photo, after layer 1', dense * breakEvenSpikes.float),
      panel('energy', 'energy ÷ the float network’s (4.6 pJ a MAC, 0.9 pJ an addition)', 1),
    ],
  };
}

/** Error of the output map over time steps, for every neuron with every pool. */
export function errorChart(finished: readonly Finished[]): Chart {
  const shown = finished.filter(
    ({ experiment: { group, settings } }) =>
      group === 'rules' && settings.gamma === 1 && settings.v0 === 0 && settings.rho === 0.5,
  );
  const values = scores(shown);
  return {
    columns: 2,
    concat: [...new Set(values.map(({ pool }) => pool))].map((pool) => ({
      title: `pool ${pool}`,
      width: 300,
      height: 200,
      data: { values: values.filter((value) => value.pool === pool) },
      ...curves(
        nominal('neuron', 'neuron', ruleNames(NEURONS)),
        'neuron',
        steps(stepsOf(shown)),
        quantitative('error', 'relative error of the output map', { type: 'log' }),
      ),
    })),
  };
}
