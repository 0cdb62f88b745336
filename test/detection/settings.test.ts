import { describe, expect, it } from 'vitest';
import {
  DEFAULT_SETTINGS,
  type DetectionSettings,
  type Preset,
  resolveSettings,
} from '../../src/detection/settings.js';
import type { ModelChoices, TuningProvenance } from '../../src/model/spiking-model.js';

const tunedAs = (tuning?: TuningProvenance): ModelChoices => ({
  provenance: { tuning } as ModelChoices['provenance'],
  presets: { frugal: { steps: 5, coding: 'phase', error: 0.04, photos: 8 } },
});

describe('the schedule', () => {
  it.each<[Partial<DetectionSettings>, Preset, string]>([
    [{}, 'default', 'layered'],
    [{}, 'fast', 'layered'],
    [{}, 'paper', 'steps'],
    [{ neuron: 'ibt-memory', pool: 'exact', v0: 0, readoutDelay: 0, steps: 127 }, 'default', 'layered'],
    [{ neuron: 'ibt' }, 'default', 'steps'],
    [{ pool: 'gate:avg' }, 'default', 'steps'],
    [{ gamma: 4 }, 'default', 'steps'],
    [{ rho: 0.75 }, 'default', 'steps'],
    [{ neuron: 'ibt', v0: 0.5 }, 'default', 'steps'],
    [{ readoutDelay: 4 }, 'default', 'steps'],
    [{ steps: 128 }, 'default', 'steps'],
    [{ steps: 8, schedule: 'steps' }, 'default', 'steps'],
    [{ schedule: 'layered', neuron: 'ibt' }, 'default', 'layered'],
  ])('of %j by the preset %s is %s… ', (given, preset, schedule) => {
    expect(resolveSettings(given, preset).schedule).toBe(schedule);
  });

  it('is layered with the defaults as they are, and may not contradict frugal', () => {
    expect(resolveSettings(DEFAULT_SETTINGS)).toEqual(DEFAULT_SETTINGS);
    expect(resolveSettings({ budgetMs: Number.POSITIVE_INFINITY, untilStable: false }).schedule).toBe(
      'layered',
    );
    for (const given of [{ untilStable: true }, { schedule: 'steps' }, { steps: 200 }] as const)
      expect(() => resolveSettings(given, 'frugal', tunedAs())).toThrow(
        /frugal is of a layer-synchronous run/,
      );
  });

  it('that contradicts the coding is named', () => {
    expect(() => resolveSettings({ coding: 'phase', gamma: 1 })).toThrow(/; gamma asks for one step by step/);
    expect(() => resolveSettings({ coding: 'phase', steps: 128, pool: 'gate:avg' })).toThrow(
      /; pool, steps above 127 asks/,
    );
  });

  it('by name is taken, or refused with what contradicts it', () => {
    expect(() => resolveSettings({ schedule: 'layered', gamma: 2 })).toThrow(/gamma cannot be chosen/);
    expect(() => resolveSettings({ schedule: 'layered', readoutDelay: 2 })).toThrow(/no read-out delay/);
  });
});

describe('a preset', () => {
  it('is the model’s own', () => {
    const full = tunedAs({ kind: 'full', steps: 12, photos: 24 });
    expect(resolveSettings({}, 'fast', full)).toEqual(resolveSettings({}, 'default', full));
    expect(resolveSettings({}, 'default', full)).toMatchObject({ steps: 12, gamma: 8, coding: 'count' });
    expect(resolveSettings({}, 'frugal', full)).toMatchObject({
      steps: 5,
      coding: 'phase',
      schedule: 'layered',
    });
    expect(resolveSettings({ steps: 7 }, 'frugal', full)).toMatchObject({ steps: 7, coding: 'phase' });
    expect(resolveSettings({}, 'paper', full)).toMatchObject({ steps: 5000, gamma: 1, neuron: 'ibt' });
  });

  it('without λ that was tuned keeps Γ = 4', () => {
    expect(resolveSettings({}, 'default', tunedAs({ kind: 'bias', steps: 16, photos: 24 })).gamma).toBe(4);
    expect(resolveSettings({}, 'default', tunedAs()).gamma).toBe(4);
  });

  it('is refused where there is none', () => {
    const without: ModelChoices = { provenance: {} as ModelChoices['provenance'] };
    expect(() => resolveSettings({}, 'frugal', without)).toThrow(/no preset frugal/);
    expect(() => resolveSettings({}, 'quick' as never)).toThrow(/preset is "quick"/);
  });
});
