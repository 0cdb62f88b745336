import { type ConversionOptions, DEFAULT_CONVERSION, PAPER_PERCENTILE } from '../conversion/convert.js';
import { DECODERS, type Decoder } from '../decoding/readout.js';
import {
  DEFAULT_SETTINGS,
  type DetectionSettings,
  PAPER_SETTINGS,
  type Preset,
  resolveSettings,
} from '../detection/settings.js';
import { type Neuron, POOLS, type RunOptions } from '../engine/plan.js';
import type { ModelChoices, Normalisation } from '../model/spiking-model.js';

/** One curve of the report: a conversion, how it is run, and the steps that are read out. */
export interface PlannedExperiment {
  /** Name of its state file. */
  id: string;
  /** The paper's section 4.2, rules at few steps, or this project's settings. */
  group: 'paper' | 'rules' | 'ours';
  label: string;
  conversion: Pick<ConversionOptions, 'norm' | 'percentile' | 'preset'> &
    Partial<Pick<ConversionOptions, 'tune'>>;
  settings: DetectionSettings;
  steps: number[];
  decoders: readonly Decoder[];
}

/** How λ is found in the paper's section 3.2, for any normalisation. */
export const PAPER_CONVERSION = { percentile: PAPER_PERCENTILE, preset: 'paper' } as const;

const { norm, percentile, preset, tune } = DEFAULT_CONVERSION;
/** This project's conversion, with λ by percentile. */
export const OWN_CONVERSION = { norm, percentile, preset };
/** The same for a network's own presets: tuned, where there are photos enough. */
export const TUNED_CONVERSION = { ...OWN_CONVERSION, tune };

export const PAPER_NORMS: readonly Normalisation[] = ['none', 'layer', 'channel'];
export const PAPER_NEURONS: readonly Neuron[] = ['if', 'signed', 'ibt'];

/** This project's settings, step by step. */
export const STEP_BY_STEP: DetectionSettings = { ...DEFAULT_SETTINGS, schedule: 'steps' };

/** Steps at which rules are compared, and those of layer-synchronous runs. */
const FEW_STEPS = [8, 16, 32, 64, 128];
const LAYERED_STEPS = [4, 6, 8, 12, 16, 32];
/** Percentiles of λ that a burst-sending network is tried with. */
const PERCENTILES = [99.9, 99, 98];

/** Section 4.2 and its ablations: normalisation × neuron, as the paper ran them, read out by both decoders. */
function paperExperiments(steps: number[]): PlannedExperiment[] {
  return PAPER_NORMS.flatMap((norm) =>
    PAPER_NEURONS.map((neuron) => ({
      id: `paper-${norm}-${neuron}`,
      group: 'paper' as const,
      label: `${norm}-norm, ${neuron}`,
      conversion: { norm, ...PAPER_CONVERSION },
      settings: { ...PAPER_SETTINGS, neuron, steps: steps.at(-1)! },
      steps,
      decoders: DECODERS,
    })),
  );
}

const describeRule = ({ neuron, pool, gamma, rho, v0 }: RunOptions) =>
  [
    neuron,
    pool,
    ...(neuron === 'ibt-memory' ? [`Γ ${gamma}`, `ρ ${rho}`] : []),
    ...(v0 > 0 ? [`V0 ${v0}·θ`] : []),
  ].join(', ');

/** Every neuron with every pool, and the variants of section 4 of the design, on channel-norm as in the paper. */
function ruleExperiments(): PlannedExperiment[] {
  const base = { gamma: 1, v0: 0, rho: 0.5 };
  const rules = [
    ...(['if', 'signed', 'ibt', 'ibt-memory'] as const).flatMap((neuron) =>
      POOLS.map((pool) => ({ ...base, neuron, pool })),
    ),
    { ...base, neuron: 'ibt', pool: 'exact', v0: 0.5 } as const,
    { ...base, neuron: 'ibt-memory', pool: 'exact', gamma: 2 } as const,
    { ...base, neuron: 'ibt-memory', pool: 'exact', gamma: 2, rho: 0.75 } as const,
  ];
  return rules.map((rule) => {
    const settings = { ...STEP_BY_STEP, ...rule, steps: FEW_STEPS.at(-1)! };
    return {
      id: `rule-${describeRule(settings).replace(/[^\w.]+/g, '-')}`,
      group: 'rules' as const,
      label: describeRule(settings),
      conversion: { norm: 'channel', ...PAPER_CONVERSION },
      settings,
      steps: FEW_STEPS,
      decoders: ['vmem'],
    };
  });
}

/** This project's settings: the default at several percentiles, step by step and layer-synchronous. */
function ownExperiments(): PlannedExperiment[] {
  return PERCENTILES.flatMap((percentile) => {
    const common = {
      group: 'ours' as const,
      conversion: { ...OWN_CONVERSION, percentile },
      steps: LAYERED_STEPS,
      decoders: ['vmem'] as const,
    };
    const settings = { ...STEP_BY_STEP, steps: LAYERED_STEPS.at(-1)! };
    return [
      { ...common, id: `ours-${percentile}`, label: `ibt-memory, λ at ${percentile} %`, settings },
      {
        ...common,
        id: `ours-${percentile}-layered`,
        label: `layer-synchronous, λ at ${percentile} %`,
        settings: { ...settings, schedule: 'layered' as const },
      },
    ];
  });
}

/** A tuned network by one of its presets; throws `USAGE` for one that it has not. */
export function presetExperiment(preset: Preset, model: ModelChoices): PlannedExperiment {
  const settings = resolveSettings({}, preset, model);
  return {
    id: `preset-${preset}`,
    group: 'ours',
    label: `${preset}: layer-synchronous, ${settings.coding}${model.provenance.tuning ? ', tuned' : ''}`,
    conversion: TUNED_CONVERSION,
    settings,
    steps: [settings.steps],
    decoders: ['vmem'],
  };
}

/** Everything that the report measures on annotated photos. */
export const planExperiments = (steps: number[]): PlannedExperiment[] => [
  ...paperExperiments(steps),
  ...ruleExperiments(),
  ...ownExperiments(),
];
