import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ModelBenchmark } from '../../src/bench/model-benchmark.js';
import { decodeModel } from '../../src/model/model-file.js';
import { expectError, run } from '../support/command.js';
import { describeWithOnnxruntime, writeOnnx, yolov8Graph } from '../support/onnx.js';
import { plus, root } from '../support/shared.js';

let folder: string;
let onnx: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'onnx-'));
  onnx = join(folder, 'small.onnx');
  writeFileSync(onnx, writeOnnx(yolov8Graph()));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('an ONNX file on the command line', () => {
  it('is converted, and the model and the file itself detect', () => {
    const out = join(folder, 'small.safetensors');
    const { status, stderr } = run(['convert', '--onnx', onnx, '--calibration', 'samples', '--out', out]);
    expect(status).toBe(0);
    // what becomes of it is said before calibration
    expect(stderr).toMatch(/^input: 32×32, letterbox:114\nclasses: 2 \(cat, dog\)\nheads: yolov8, /);
    const found = (...args: string[]) => {
      const { stdout, status } = run([
        'detect',
        'samples/cat.jpg',
        '--conf',
        '0.01',
        '--format',
        'json',
        ...args,
      ]);
      expect(status).toBe(0);
      return JSON.parse(stdout)[0];
    };
    const spiking = found('--model', out, '--checksum');
    const float = found('--ann', '--onnx', onnx);
    expect(spiking.resize).toBe('letterbox:114');
    expect(float.resize).toBe('letterbox:114');
    expect(spiking.detections.length).toBeGreaterThan(0);
    expect(spiking.detections[0].class).toBe(float.detections[0].class);
    for (const backend of ['wasm', 'reference'])
      expect(found('--model', out, '--checksum', '--backend', backend).spikeChecksum).toBe(
        spiking.spikeChecksum,
      );
  }, 60_000);

  it('with SiLU runs layer by layer unless something else is asked for, and says so', () => {
    const file = join(folder, 'curved.onnx');
    const model = join(folder, 'curved.safetensors');
    writeFileSync(file, writeOnnx(yolov8Graph(undefined, true)));
    expect(run(['convert', '--onnx', file, '--calibration', 'samples', '--out', model]).status).toBe(0);
    const out = join(folder, 'curved.ndjson');
    const detect = (...args: string[]) => run(['detect', 'samples/cat.jpg', '--model', model, ...args]);
    expect(detect('--out', out).status).toBe(0);
    expect(detect('--out', out, '--resume', '--schedule', 'layered').status).toBe(0);
    const lines = readFileSync(out, 'utf8').trim().split('\n');
    expect(lines).toHaveLength(1);
    expect(JSON.parse(lines[0]!).settings.schedule).toBe('layered');
    expectError(
      detect('--schedule', 'steps'),
      2,
      /cannot run curves.*conv1 \(silu\).*use the schedule layered/,
    );
    expectError(detect('--gamma', '4'), 2, /cannot run curves/);
    expectError(detect('--steps', '128'), 2, /cannot run curves/);
    expectError(detect('--schedule', 'layered', '--steps', '128'), 2, /127/);
  }, 60_000);

  it('is described by info, as are a cfg and a model', () => {
    const lines = (...args: string[]) => {
      const { stdout, status } = run(['info', ...args]);
      expect(status).toBe(0);
      return stdout.trim().split('\n');
    };
    expect(lines(onnx)).toEqual([
      'input: 32×32, letterbox:114',
      'classes: 2 (cat, dog)',
      'heads: yolov8, behind 4 operations in floats',
      'layers: convolutional 2',
      'activations: leaky 1, linear 1',
      'neurons: 0.00 M',
      'multiply-adds: 0.02 M a photo in the float network',
      'computed in floats: 0.00 % of the operations in islands, 0.81 % behind the output layers',
      'it converts; schedules: layered, steps',
    ]);
    expect(lines('models/darknet/tiny-yolo-lite-voc.cfg')).toContain('layers: convolutional 7, maxpool 5');
    expect(lines('models/tiny-yolo-lite-voc.safetensors')[0]).toMatch(/^model: 16-bit weights, channel norm/);
    expectError(run(['info', 'README.md']), 2, /its name ends in none of/);
    expectError(run(['info', join(folder, 'absent.onnx')]), 1, /no such file/);
  }, 60_000);

  it('with wrong options: one error, and nothing is written', () => {
    const out = join(folder, 'none.safetensors');
    const convert = (...args: string[]) =>
      run(['convert', '--calibration', 'samples', '--out', out, ...args]);
    expectError(convert('--onnx', join(folder, 'absent.onnx')), 1, /absent\.onnx: .*no such file/);
    expectError(convert('--onnx', 'samples/cat.jpg'), 1, /cat\.jpg: not an ONNX file/);
    expectError(convert(), 2, /name a trained network/);
    expectError(convert('--onnx', onnx, '--head', 'yolov5'), 1, /a yolov5 head of 2 classes reads 1×N×7/);
    expectError(convert('--onnx', onnx, '--mean', 'a'), 2, /--mean/);
    expectError(convert('--onnx', onnx, '--std', '0'), 2, /above 0/);
    expectError(convert('--onnx', onnx, '--cfg', 'x.cfg'), 2, /--cfg/);
    expectError(run(['detect', 'samples/cat.jpg', '--onnx', onnx]), 2, /float network only \(--ann\)/);
    expect(existsSync(out)).toBe(false);
  }, 60_000);
});

describe('the default model', () => {
  it('is what the ONNX file of the repository was converted to, and finds what that finds', () => {
    const { stdout, status } = run(['info', plus.onnx, '--names', plus.names, ...plus.preparation]);
    expect(status).toBe(0);
    expect(stdout).toMatch(/^input: 320×320, stretch\nclasses: 80 \(person, .*\nheads: nanodet, /);
    const model = decodeModel(readFileSync(`${root}models/tiny-yolo-plus.safetensors`));
    expect(model.provenance.weightsSha256).toBe(
      createHash('sha256').update(readFileSync(plus.onnx)).digest('hex'),
    );
    const best = (...args: string[]) =>
      JSON.parse(run(['detect', 'samples/cat.jpg', '--format', 'json', ...args]).stdout)[0].detections[0];
    const float = best('--ann', '--onnx', plus.onnx, '--names', plus.names, ...plus.preparation);
    const spiking = best('--model', 'tiny-yolo-plus');
    expect(spiking.class).toBe(float.class);
    expect(Math.abs(spiking.score - float.score)).toBeLessThan(0.05);
    for (const side of ['x1', 'y1', 'x2', 'y2'])
      expect(Math.abs(spiking.box[side] - float.box[side])).toBeLessThan(10);
  }, 60_000);
});

describeWithOnnxruntime('a model measured beside its ONNX file', () => {
  it('has the same spikes on every back-end, and its rivals at each number of threads with their mAP', () => {
    const model = join(folder, 'measured.safetensors');
    expect(run(['convert', '--onnx', onnx, '--calibration', 'samples', '--out', model]).status).toBe(0);
    const annotations = join(folder, 'annotations');
    mkdirSync(annotations);
    for (const name of ['cat', 'astronaut'])
      writeFileSync(
        join(annotations, `${name}.xml`),
        '<annotation><object><name>cat</name><bndbox><xmin>48</xmin><ymin>60</ymin><xmax>420</xmax><ymax>299</ymax></bndbox></object></annotation>',
      );
    const bench = (...args: string[]) => run(['bench', '--model', model, '--runs', '1', '--json', ...args]);
    const peer = ['--peer', 'onnxruntime', '--onnx', onnx, '--calibration', 'samples'];
    const { stdout, status } = bench(...peer, '--images', 'samples', '--annotations', annotations);
    expect(status).toBe(0);
    const { rows, map, steps, input } = JSON.parse(stdout) as ModelBenchmark;
    expect([steps, input]).toEqual([16, [32, 32]]);
    const peers = rows.filter(({ spikeChecksum }) => spikeChecksum === undefined);
    expect(new Set(peers.map(({ what }) => what))).toEqual(
      new Set(['onnxruntime float32', 'onnxruntime int8']),
    );
    const spiking = rows.filter(({ spikeChecksum }) => spikeChecksum !== undefined);
    expect(spiking.map(({ what }) => what)).toContain('wasm');
    expect(new Set(spiking.map(({ spikeChecksum }) => spikeChecksum)).size).toBe(1);
    for (const { networkMs } of rows) expect(networkMs).toBeGreaterThan(0);
    expect(map!.map(({ what }) => what)).toEqual(['spiking', 'onnxruntime float32', 'onnxruntime int8']);
    const table = run(['bench', '--model', model, '--runs', '1', '--quick']);
    expect(table.stdout).toMatch(/, 32×32, 16 steps layered, .*\n\n\| back-end \|/);
    const other = join(folder, 'other.onnx');
    writeFileSync(other, writeOnnx(yolov8Graph(undefined, true)));
    const { stderr, status: refused } = bench('--peer', 'onnxruntime', '--onnx', other);
    expect(stderr).toMatch(/other\.onnx: not the file that this model was converted from/);
    expect(refused).toBe(2);
  }, 60_000);
});
