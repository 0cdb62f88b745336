import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { expectError, run } from '../support/command.js';
import { writeOnnx, yolov8Graph } from '../support/onnx.js';

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
