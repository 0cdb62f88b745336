import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeModel } from '../../src/model/model-file.js';
import { expectError, run } from '../support/command.js';
import { lite, root } from '../support/shared.js';

let folder: string;
let photos: string;
/** The small network at 64×64, which is quick. */
let cfg: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'convert-'));
  cfg = join(folder, 'small.cfg');
  writeFileSync(cfg, readFileSync(lite.cfg, 'utf8').replace(/^(width|height) *= *\d+/gm, '$1=64'));
  photos = join(folder, 'photos');
  mkdirSync(photos);
  const samples = readdirSync(`${root}samples`).filter((name) => /\.(jpg|png)$/.test(name));
  for (let i = 0; i < 8; i++)
    copyFileSync(
      `${root}samples/${samples[i % samples.length]}`,
      join(photos, `${i}-${samples[i % samples.length]}`),
    );
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const convert = (out: string, ...extra: string[]) =>
  run([
    'convert',
    ...['--cfg', cfg, '--weights', lite.weights, '--names', lite.names],
    ...['--calibration', photos, '--resize', 'stretch', '--weight-bits', '8', '--out', join(folder, out)],
    ...extra,
  ]);
const modelOf = (name: string) => decodeModel(new Uint8Array(readFileSync(join(folder, name))));

describe('convert --tune', () => {
  it('tunes unless it is told not to, says so, and leaves nothing else behind', () => {
    const before = readdirSync(folder).length;
    const result = convert('full.safetensors');
    expect(result.status).toBe(0);
    expect(result.stdout).toMatch(/calibrated on 8 photos, λ and biases tuned on 6 photos for 16 steps/);
    expect(readdirSync(folder).length).toBe(before + 1);
    const { provenance, presets } = modelOf('full.safetensors');
    expect(provenance.tuning).toEqual({ kind: 'full', steps: 16, photos: 6 });
    expect(presets?.frugal?.photos).toBe(2);
    expect(run(['info', join(folder, 'full.safetensors')]).stdout).toMatch(
      /λ and biases tuned on 6 photos for 16 steps/,
    );
    for (const kind of ['bias', 'none'] as const) {
      expect(convert(`${kind}.safetensors`, '--tune', kind).status).toBe(0);
      expect(modelOf(`${kind}.safetensors`).provenance.tuning?.kind).toBe(kind === 'none' ? undefined : kind);
    }
  });

  it('says why nothing is tuned', () => {
    const few = join(folder, 'few');
    mkdirSync(few);
    copyFileSync(`${root}samples/cat.jpg`, join(few, 'cat.jpg'));
    expect(convert('few.safetensors', '--calibration', few).stderr).toMatch(
      /nothing is tuned: 1 photos are too few, it takes 8/,
    );
    expect(convert('layer.safetensors', '--norm', 'layer').stderr).toMatch(
      /nothing is tuned: .*--tune bias tunes the biases/,
    );
    expect(convert('paper.safetensors', '--preset', 'paper').stderr).not.toMatch(/nothing is tuned/);
  });

  it.each([
    [['--tune', 'full', '--norm', 'layer'], /one λ per channel/],
    [['--tune', 'bias', '--preset', 'paper'], /not how the paper converts/],
    [['--tune', 'much'], /Allowed choices are none, bias, full/],
    [['--preset', 'frugal'], /Allowed choices are default, paper/],
  ])('refuses %j', (extra, message) => {
    expectError(convert('refused.safetensors', ...extra), 2, message);
    expect(existsSync(join(folder, 'refused.safetensors'))).toBe(false);
  });
});

describe('convert --state', () => {
  const state = () => join(folder, 'lite.state');

  it('goes on from what is there, to the same bytes', () => {
    expect(convert('whole.safetensors', '--state', state()).status).toBe(0);
    const written = JSON.parse(readFileSync(state(), 'utf8'));
    expect(Object.keys(written.tuned)).toEqual(Object.keys(written.lambdas));
    for (const layer of Object.keys(written.tuned).slice(3)) delete written.tuned[layer];
    writeFileSync(state(), JSON.stringify(written));
    expect(convert('again.safetensors', '--state', state()).status).toBe(0);
    const [whole, again] = ['whole', 'again'].map((name) =>
      readFileSync(join(folder, `${name}.safetensors`)),
    );
    expect(Buffer.compare(whole!, again!)).toBe(0);
    expect(Object.keys(JSON.parse(readFileSync(state(), 'utf8')).tuned)).toEqual(
      Object.keys(written.lambdas),
    );
    // on another back-end the same bytes, too
    expect(convert('wasm.safetensors', '--backend', 'wasm').status).toBe(0);
    expect(Buffer.compare(whole!, readFileSync(join(folder, 'wasm.safetensors')))).toBe(0);
  });

  it('refuses the state of another conversion, and what is none', () => {
    expectError(
      convert('x.safetensors', '--state', state(), '--tune', 'bias'),
      1,
      /the state of another conversion/,
    );
    expectError(convert('x.safetensors', '--state', `${root}README.md`), 1, /not the state of a conversion/);
    expectError(convert('x.safetensors', '--state', join(folder, 'x.safetensors')), 2, /both write/);
    const written = JSON.parse(readFileSync(state(), 'utf8'));
    const { conv3: _, ...lambdas } = written.lambdas;
    for (const damage of [
      { tuned: { conv1: 'none' } },
      { tuned: { conv1: { lambda: [1], correction: [0] } } },
      { lambdas },
      { lambdas: { ...written.lambdas, conv2: written.lambdas.conv2.map(() => 0) } },
      { photoCount: 9 },
    ]) {
      writeFileSync(state(), JSON.stringify({ ...written, ...damage }));
      expectError(convert('x.safetensors', '--state', state()), 1, /the state is damaged/);
    }
    writeFileSync(state(), JSON.stringify(written));
    // other photos under the same names
    const photo = join(photos, readdirSync(photos)[0]!);
    writeFileSync(photo, readFileSync(`${root}samples/astronaut.jpg`));
    expectError(convert('x.safetensors', '--state', state()), 1, /the state of another conversion/);
    expect(existsSync(join(folder, 'x.safetensors'))).toBe(false);
  });
});

describe('detect', () => {
  const cat = `${root}samples/cat.jpg`;
  const detect = (...args: string[]) => {
    const result = run(['detect', cat, '--format', 'json', '--checksum', ...args]);
    expect(result.stderr).toBe('');
    return JSON.parse(result.stdout)[0];
  };

  it('takes its presets from the model', () => {
    const file = join(folder, 'full.safetensors');
    const { frugal } = modelOf('full.safetensors').presets!;
    const fast = detect('--model', file);
    expect(fast).toMatchObject({ schedule: 'layered', coding: 'count', steps: 16 });
    expect(detect('--model', file, '--preset', 'fast').spikeChecksum).toBe(fast.spikeChecksum);
    const few = detect('--model', file, '--preset', 'frugal');
    expect(few).toMatchObject({ schedule: 'layered', coding: 'phase', steps: frugal!.steps });
    expect(few.settings).toMatchObject({ coding: 'phase', steps: frugal!.steps });
    const counted = detect('--model', file, '--preset', 'frugal', '--coding', 'count');
    expect(counted.spikeChecksum).toBe(few.spikeChecksum);
    expect(counted.spikes).toBeGreaterThan(few.spikes);
    const stepwise = detect('--model', file, '--schedule', 'steps');
    expect(stepwise.settings).toMatchObject({ schedule: 'steps', gamma: 8 });
    expect(detect('--model', file, '--gamma', '4').schedule).toBe('steps');
  });

  it('says that a model has no such preset', () => {
    const none = join(folder, 'none.safetensors');
    expectError(run(['detect', cat, '--model', none, '--preset', 'frugal']), 2, /has no preset frugal/);
    expectError(
      run(['detect', cat, '--model', none, '--schedule', 'steps', '--coding', 'phase']),
      2,
      /coding phase .*the schedule asks for one step by step/,
    );
  });
});
