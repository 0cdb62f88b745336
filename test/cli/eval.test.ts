import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectError, run } from '../support/command.js';
import { lite, root } from '../support/shared.js';

let folder: string;
let images: string;
const annotation = (name: string, box: number[]) =>
  `<annotation><object><name>${name}</name><difficult>0</difficult><bndbox>${['xmin', 'ymin', 'xmax', 'ymax']
    .map((key, i) => `<${key}>${box[i]}</${key}>`)
    .join('')}</bndbox></object></annotation>`;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'eval-'));
  images = join(folder, 'images');
  mkdirSync(images);
  for (const name of ['cat', 'astronaut', 'unannotated', 'dragon'])
    copyFileSync(`${root}samples/${name === 'astronaut' ? name : 'cat'}.jpg`, join(images, `${name}.jpg`));
  writeFileSync(join(images, 'broken.jpg'), 'not a photo');
  writeFileSync(join(images, 'cat.xml'), annotation('cat', [48, 60, 420, 299]));
  writeFileSync(join(images, 'astronaut.xml'), annotation('person', [20, 10, 500, 511]));
  writeFileSync(join(images, 'broken.xml'), annotation('cat', [1, 1, 2, 2]));
  writeFileSync(join(images, 'dragon.xml'), annotation('dragon', [1, 1, 2, 2]));
  writeFileSync(join(folder, 'good.txt'), 'cat 1\nastronaut -1\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const evaluate = (...args: string[]) =>
  run(['eval', '--model', 'tiny-yolo-lite-voc', '--images', images, '--annotations', images, ...args]);
const good = () => ['--ids', join(folder, 'good.txt')];
const darknet = ['--cfg', lite.cfg, '--weights', lite.weights, '--names', lite.names];

describe('eval', () => {
  it('reports what it cannot read, counts it, evaluates the rest and exits with 1', () => {
    const { stdout, stderr, status } = evaluate('--format', 'json', '--steps', '4,16');
    expect(status).toBe(1);
    expect(stderr).toMatch(/error: .*unannotated\.xml: cannot read it: there is no such file/);
    expect(stderr).toMatch(/error: .*broken\.jpg: not a JPEG/);
    expect(stderr).toMatch(/^classes that the network does not have, left out: dragon$/m);
    expect(stderr.trim().split('\n')).toHaveLength(3);
    const { images: count, failures, snn, ann } = JSON.parse(stdout);
    expect([count, failures]).toEqual([3, 2]);
    expect(snn.map(({ steps }: { steps: number }) => steps)).toEqual([4, 16]);
    expect(snn[1].relativeError).toBeLessThan(snn[0].relativeError);
    expect(ann.perClass.cat.ap11).toBe(1);
  });

  it('prints one object with scores, costs, energy and settings for every step and decoder', () => {
    const { stdout, status } = evaluate(
      ...good(),
      '--format',
      'json',
      '--steps',
      '4,8',
      '--decode',
      'vmem,count',
    );
    expect(status).toBe(0);
    const { ann, snn, settings, breakEvenSpikes } = JSON.parse(stdout);
    expect(snn.map(({ steps, decode }: { steps: number; decode: string }) => [steps, decode])).toEqual([
      [4, 'vmem'],
      [4, 'count'],
      [8, 'vmem'],
      [8, 'count'],
    ]);
    const [four, counted] = snn;
    expect(counted.relativeError).toBeGreaterThan(four.relativeError);
    expect(counted.sops).toBe(four.sops);
    expect(four.memoryEnergyOfAnn).toBeGreaterThan(four.energyOfAnn);
    const { effectiveMacs, effectiveAcs, activationSparsity, denseOperations, footprint } = four.neuroBench;
    expect(effectiveMacs + effectiveAcs).toBeLessThan(denseOperations);
    expect(activationSparsity > 0 && activationSparsity < 1).toBe(true);
    expect(footprint).toBeGreaterThan(1e6);
    expect(four.energyOfAnn).toBeCloseTo(four.energyPicojoules / ann.energyPicojoules, 12);
    // energies are equal at the break-even: layer 1 costs the same on both sides
    const atBreakEven = breakEvenSpikes.float / four.spikesPerNeuronMacWeighted;
    expect(ann.energyPicojoules).toBeCloseTo(four.energyPicojoules + 0.9 * four.sops * (atBreakEven - 1), -3);
    expect(Object.keys(four.firingRates)).toEqual(['conv1', 'conv2', 'conv3', 'conv4', 'conv5', 'conv6']);
    const [low, high] = four.map11Interval;
    expect(low <= four.map11 && four.map11 <= high).toBe(true);
    expect(settings).toMatchObject({
      neuron: 'ibt-memory',
      pool: 'exact',
      schedule: 'layered',
      coding: 'count',
      float: 'dequantised',
      conf: 0.005,
    });
  });

  it('reads all steps out of one simulation, except a layer-synchronous one', () => {
    const spikes = (steps: string, ...args: string[]) =>
      JSON.parse(evaluate(...good(), '--format', 'json', '--steps', steps, ...args).stdout).snn.map(
        ({ spikesPerNeuron, map11, relativeError }: Record<string, number>) => [
          spikesPerNeuron,
          map11,
          relativeError,
        ],
      );
    for (const args of [[], ['--schedule', 'layered']]) {
      expect(spikes('4,8', ...args)).toEqual([...spikes('4', ...args), ...spikes('8', ...args)]);
    }
  });

  it('goes on from a state file as if it had never stopped, and refuses another evaluation’s', () => {
    const state = join(folder, 'state', 'one.ndjson');
    const args = ['--format', 'json', '--steps', '4', '--state', state];
    const whole = evaluate(...good(), ...args.slice(0, -2)).stdout;
    expect(evaluate(...good(), ...args).stdout).toBe(whole);
    const lines = readFileSync(state, 'utf8').split('\n');
    expect(lines).toHaveLength(4);
    // killed in the middle of the second photo's line
    writeFileSync(state, `${lines[0]}\n${lines[1]}\n${lines[2]!.slice(0, 100)}`);
    expect(evaluate(...good(), ...args).stdout).toBe(whole);
    expect(readFileSync(state, 'utf8')).toBe(lines.join('\n'));
    expectError(evaluate(...good(), ...args, '--neuron', 'ibt'), 1, /another evaluation \(settings differ\)/);
    expectError(evaluate(...args), 1, /another evaluation \(photos differ\)/);
    expect(readFileSync(state, 'utf8')).toBe(lines.join('\n'));
    for (const bad of ['null', '{"photo":"cat","measurement":{}}', '{}']) {
      writeFileSync(state, `${lines[0]}\n${bad}\n`);
      expectError(evaluate(...good(), ...args), 1, /is no measurement/);
    }
    expectError(evaluate(...good(), ...args, '--out', state), 2, /both write/);
    writeFileSync(state, 'my diary');
    expectError(evaluate(...good(), ...args), 1, /not a state file/);
    expect(readFileSync(state, 'utf8')).toBe('my diary');
  });

  it('converts darknet files for the occasion, by the options of convert', () => {
    const converted = (...args: string[]) =>
      run([
        'eval',
        ...darknet,
        '--calibration',
        `${root}samples`,
        '--images',
        images,
        '--annotations',
        images,
        ...good(),
        '--resize',
        'stretch',
        '--format',
        'json',
        '--steps',
        '8',
        ...args,
      ]);
    const layer = JSON.parse(converted('--norm', 'layer', '--preset', 'paper').stdout);
    expect(layer.settings).toMatchObject({
      conversion: { norm: 'layer', percentile: 99.9, preset: 'paper', calibrationPhotos: 2 },
      neuron: 'ibt',
      float: 'trained',
    });
    const channel = JSON.parse(converted().stdout);
    expect(channel.settings.conversion).toMatchObject({ norm: 'channel', percentile: 99 });
    expect(channel.ann).toEqual(layer.ann);
    expect(channel.snn[0].relativeError).toBeLessThan(layer.snn[0].relativeError);
  });

  it('writes csv and text, and --out whole', () => {
    const csv = evaluate(...good(), '--format', 'csv', '--steps', '2,4')
      .stdout.trim()
      .split('\n');
    const rows = csv.map((line) => line.split(','));
    expect(rows.map((row) => row.slice(0, 3))).toEqual([
      ['network', 'steps', 'decode'],
      ['ann', '', ''],
      ['snn', '2', 'vmem'],
      ['snn', '4', 'vmem'],
    ]);
    expect(new Set(rows.map((row) => row.length)).size).toBe(1);
    const out = join(folder, 'out', 'result.txt');
    const { stdout, status } = evaluate(...good(), '--steps', '2', '--out', out);
    expect([stdout, status]).toEqual(['', 0]);
    expect(readFileSync(out, 'utf8')).toMatch(/^2 photos; float network \(dequantised\): mAP /);
  });

  it.each([
    [['--norm', 'layer'], 2, /lives in its file/],
    [['--calibration', 'samples'], 2, /not both/],
    [['--steps', '8,4'], 2, /ascending order/],
    [['--decode', 'mean'], 2, /expected vmem, count/],
    [['--limit', '0'], 2, /whole number from 1/],
    [['--format', 'xml'], 2, /Allowed choices/],
    [['--ids', 'nowhere.txt'], 1, /nowhere\.txt: cannot read it/],
  ])('refuses %j', (args, status, message) => {
    expectError(evaluate(...args), status, message);
  });

  it('refuses incomplete networks, and outputs that are inputs', () => {
    const without = (...args: string[]) =>
      run(['eval', '--images', images, '--annotations', images, ...args]);
    expectError(without(...darknet), 2, /add --calibration DIR/);
    expectError(without('--calibration', 'samples'), 2, /add --cfg, --weights and --names/);
    const photo = join(images, 'cat.jpg');
    expectError(evaluate('--out', photo), 2, /would overwrite/);
    expectError(evaluate('--state', join(images, 'cat.xml')), 2, /would overwrite/);
    expect(readFileSync(photo).equals(readFileSync(`${root}samples/cat.jpg`))).toBe(true);
    expect(existsSync(join(images, 'cat.xml'))).toBe(true);
  });
});
