import { spawnSync } from 'node:child_process';
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
import { decodePhoto } from '../../src/image/read-photo.js';
import { expectError, run } from '../support/command.js';
import { lite, root } from '../support/shared.js';

const LITE = ['--model', 'tiny-yolo-lite-voc'];
const cat = `${root}samples/cat.jpg`;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cli-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Packages that a command takes in. */
function packagesOf(args: string[]): string[] {
  const { status, stderr } = run(args, {
    env: { NODE_OPTIONS: `--import ${root}test/support/print-modules.mjs` },
  });
  expect(status).toBe(0);
  return [...new Set([...stderr.matchAll(/^takes in (.*)$/gm)].map(([, name]) => name!))].sort();
}

describe('a start', () => {
  it('takes in no more than its command needs', () => {
    expect(packagesOf(['detect', cat])).toEqual(['commander', 'fdir', 'picomatch', 'tinyglobby']);
    expect(packagesOf(['info'])).toEqual(['commander']);
    const all = packagesOf(['--help']);
    for (const name of ['commander', 'fast-xml-parser', 'tinyglobby']) expect(all).toContain(name);
  });
});

describe('detect', () => {
  it('finds the cat with no option at all', () => {
    const { stdout, status } = run(['detect', 'samples/cat.jpg']);
    expect(stdout).toMatch(/^samples\/cat\.jpg: 451×300, 16 steps/);
    expect(stdout).toMatch(/\n {2}cat +0\.\d\d /);
    expect(status).toBe(0);
  });

  it('prints a JSON array with everything that is known about a photo', () => {
    const { stdout, status } = run([
      'detect',
      cat,
      ...LITE,
      '--format',
      'json',
      '--checksum',
      '--conf',
      '0.2',
    ]);
    expect(status).toBe(0);
    const [result, ...others] = JSON.parse(stdout);
    expect(others).toEqual([]);
    expect(result).toMatchObject({
      path: cat,
      width: 451,
      height: 300,
      steps: 16,
      model: 'tiny-yolo-lite-voc',
      resize: 'stretch',
    });
    expect(result.detections[0]).toMatchObject({ class: 'cat', classId: 7 });
    const { x1, y1, x2, y2 } = result.detections[0].box;
    expect(x1 >= 0 && y1 >= 0 && x2 <= 451 && y2 <= 300 && x1 < x2 && y1 < y2).toBe(true);
    expect(result.spikeChecksum).toMatch(/^[0-9a-f]{16}$/);
    expect(result.spikesPerNeuron).toBeGreaterThan(0);
    expect(result.sops).toBeGreaterThan(result.spikes);
    expect(Object.keys(result.elapsedMs)).toEqual(['decode', 'resize', 'network', 'postprocess']);
    expect(Object.keys(result.backend)).toEqual(['name', 'isa']);
  });

  it('gives the same checksum on every back-end and in worker threads', () => {
    const sum = (args: string[]) =>
      JSON.parse(run(['detect', cat, ...LITE, '--format', 'json', '--checksum', ...args]).stdout)[0]
        .spikeChecksum;
    const expected = sum([]);
    expect(expected).toMatch(/^[0-9a-f]{16}$/);
    expect(sum(['--backend', 'wasm'])).toBe(expected);
    expect(sum(['--block-length', '3'])).toBe(expected);
    expect(sum([`${root}samples/astronaut.jpg`, '--workers', '2'])).toBe(expected);
  });

  it('takes folders, several photos, and goes on after a bad one', () => {
    const photos = join(folder, 'photos');
    mkdirSync(photos);
    copyFileSync(cat, join(photos, 'b.jpg'));
    writeFileSync(join(photos, 'a.jpg'), 'not a photo');
    const result = run([
      'detect',
      photos,
      cat,
      ...LITE,
      '--format',
      'json',
      '--steps',
      '4',
      '--workers',
      '2',
    ]);
    expectError(result, 1, /a\.jpg: not a JPEG, PNG, BMP or WebP/);
    const [bad, ...good] = JSON.parse(result.stdout);
    expect(bad).toMatchObject({ path: join(photos, 'a.jpg'), error: { code: 'IMAGE' } });
    expect(good.map(({ path }: { path: string }) => path)).toEqual([join(photos, 'b.jpg'), cat]);
  });

  it('draws boxes into a file or a folder', async () => {
    const file = join(folder, 'drawn', 'cat.jpg');
    expect(run(['detect', cat, ...LITE, '--draw', file]).status).toBe(0);
    expect(await decodePhoto(new Uint8Array(readFileSync(file)))).toMatchObject({ width: 451, height: 300 });
    const into = join(folder, 'all');
    expect(
      run(['detect', cat, `${root}samples/astronaut.jpg`, ...LITE, '--steps', '2', '--draw', into]).status,
    ).toBe(0);
    expect(readdirSync(into).sort()).toEqual(['astronaut.jpg', 'cat.jpg']);
  });

  it('ends quietly when the reader goes away, and with valid JSON when interrupted', () => {
    const many = join(folder, 'many');
    mkdirSync(many);
    for (let i = 0; i < 12; i++) copyFileSync(cat, join(many, `${i}.jpg`));
    const command = `"${process.execPath}" "${root}dist/cli/main.js" detect "${many}" --model tiny-yolo-lite-voc --format json --workers 2`;
    const bash = (script: string) => spawnSync('bash', ['-c', script], { encoding: 'utf8' });
    for (let attempt = 0; attempt < 3; attempt++) {
      const { stdout, stderr } = bash(`${command} | head -1; echo "exit $PIPESTATUS"`);
      expect(stderr).toBe('');
      expect(stdout).toMatch(/exit 0/);
    }
    const interrupted = bash(
      `${command} --steps 200 & pid=$!; sleep 1.2; kill -INT $pid; sleep 0.05; kill -INT $pid; wait $pid; echo "exit $?" >&2`,
    );
    expect(interrupted.stderr).toMatch(/exit 130/);
    expect(Array.isArray(JSON.parse(interrupted.stdout))).toBe(true);
  });

  it('never draws over a photo, nor twice into one file', () => {
    const [one, two] = [join(folder, 'one'), join(folder, 'two')];
    for (const place of [one, two]) {
      mkdirSync(place);
      copyFileSync(cat, join(place, 'cat.jpg'));
    }
    expectError(run(['detect', one, '--draw', one]), 2, /would overwrite the photo/);
    expectError(
      run(['detect', join(one, 'cat.jpg'), '--draw', join(one, 'cat.jpg')]),
      2,
      /would overwrite the photo/,
    );
    expectError(run(['detect', one, two, '--draw', join(folder, 'into')]), 2, /twice/);
    expectError(run(['detect', cat, '--draw', join(folder, 'boxes.webp')]), 2, /drawn as \.jpg or \.png/);
  });

  it('runs the float network of a model and of darknet files, and says which', () => {
    const source = (args: string[]) =>
      JSON.parse(run(['detect', cat, '--ann', '--format', 'json', ...args]).stdout)[0].ann.source;
    expect(source(LITE)).toBe('dequantised');
    expect(source(['--cfg', lite.cfg, '--weights', lite.weights, '--names', lite.names])).toBe('trained');
  });

  it('runs the paper’s settings on the -paper model, and says so', () => {
    const { stderr, stdout, status } = run([
      'detect',
      cat,
      '--preset',
      'paper',
      '--steps',
      '50',
      '--format',
      'json',
    ]);
    expect(stderr).toMatch(/tiny-yolo-lite-voc-paper/);
    expect(JSON.parse(stdout)[0]).toMatchObject({ steps: 50, model: 'tiny-yolo-lite-voc-paper' });
    expect(status).toBe(0);
    expectError(
      run(['detect', cat, '--preset', 'paper', '--model', 'tiny-yolo-voc']),
      2,
      /spiking-yolo convert .*--preset paper/,
    );
  });

  it('reports clipped neurons of a layer-synchronous run', () => {
    const { stdout } = run(['detect', cat, ...LITE, '--schedule', 'layered', '--format', 'json']);
    expect(JSON.parse(stdout)[0].clippedNeurons).toBeGreaterThanOrEqual(0);
  });
});

describe('help', () => {
  const commands = [...run(['--help']).stdout.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]!);

  it('names every command', () => {
    expect(commands).toEqual(
      expect.arrayContaining([
        'detect',
        'export',
        'merge',
        'convert',
        'eval',
        'report',
        'bench',
        'info',
        'completion',
      ]),
    );
  });

  it.each(commands.filter((name) => name !== 'help'))('%s has examples to paste', (name) => {
    expect(run([name, '--help']).stdout).toMatch(new RegExp(`Examples?[^]*spiking-yolo ${name}`));
  });
});

describe('bad usage', () => {
  it.each([
    [['detect'], /name photos, or a source/],
    [['detect', cat, '--no-such-option'], /unknown option/],
    [['frobnicate'], /unknown command/],
    [['detect', cat, '--steps', 'many'], /expected a number/],
    [['detect', cat, '--steps', '0'], /steps is 0/],
    [['detect', cat, '--steps', '2.5'], /steps is 2.5/],
    [['detect', cat, '--neuron', 'leaky'], /Allowed choices/],
    [['detect', cat, '--pool', 'max'], /pool is "max"/],
    [['detect', cat, '--rho', '0.4'], /rho is 0.4/],
    [['detect', cat, '--gamma', '128'], /gamma is 128/],
    [['detect', cat, '--v0', '0.5'], /v0 must be 0/],
    [['detect', cat, '--conf', '2'], /conf is 2/],
    [['detect', cat, '--schedule', 'layered', '--gamma', '2'], /gamma cannot be chosen/],
    [['detect', cat, '--schedule', 'layered', '--readout-delay', '4'], /no read-out delay/],
    [['detect', cat, '--schedule', 'layered', '--steps', '128'], /at most 127/],
    [['detect', cat, '--readout-delay', '16'], /read-out delay is 16/],
    [['detect', cat, '--classes', 'cat,unicorn'], /class "unicorn"/],
    [['detect', cat, '--model', 'no-such-model'], /neither a file nor one of/],
    [['detect', cat, '--norm', 'layer'], /chosen when a model is converted/],
    [['detect', cat, '--weight-bits', '8'], /chosen when a model is converted/],
    [['detect', cat, '--cfg', lite.cfg], /go together/],
    [
      ['detect', cat, '--cfg', lite.cfg, '--weights', lite.weights, '--names', lite.names],
      /convert them first/,
    ],
    [['detect', cat, 'samples/astronaut.jpg', '--draw', 'one.jpg'], /names one file for 2 photos/],
    [['detect', 'samples/*.tiff', ...LITE], /no file matches/],
    [['detect', 'samples/*.md', ...LITE], /none is a JPEG/],
    [['detect', cat, '--shard', '3/2'], /expected i\/n/],
    [['detect', cat, '--resume'], /add --out found.ndjson/],
    [['detect', cat, '--resume', '--out', 'x.json'], /add --out found.ndjson/],
    [['detect', cat, '--out', cat], /would overwrite .*which is read/],
    [['detect', cat, '--watch', 'samples'], /leave other photos and --shard out/],
    [['completion', 'tcsh'], /Allowed choices/],
    [['detect', cat, '--workers', '0'], /workers is 0/],
    [['detect', cat, '--threads', '0'], /threads is 0/],
    [['detect', cat, '--ann', '--steps', '5'], /steps: the float network/],
    [['detect', cat, '--neuron', 'ibt', '--rho', '0.75'], /rho is a choice of the neuron ibt-memory/],
    [['eval', '--ann', '--images', 'samples', '--annotations', 'samples'], /unknown option/],
    [['bench', '--runs', '0'], /runs is 0/],
    [['bench', '--quick', '--peer', 'nobody'], /there is no peer "nobody"/],
    [['bench', '--onnx', 'x.onnx'], /--onnx says how one model is measured: add --model/],
    [['bench', ...LITE, '--onnx', 'x.onnx'], /--peer and --onnx go together/],
    [['bench', ...LITE, '--calibration', 'samples'], /--calibration says how the peer's file is run/],
    [['bench', ...LITE, '--images', 'samples'], /--images and --annotations go together/],
    [['bench', ...LITE, '--svg', 'x.svg'], /leave out --model/],
    [['bench', ...LITE, '--size', '320'], /a model is measured at its own/],
    [['bench', ...LITE, '--photos-only'], /--photos-only measures no model/],
    [['bench', ...LITE, '--recipe', 'all'], /add --calibration DIR/],
    [['bench', ...LITE, '--steps', '128'], /at most 127 steps/],
    [['bench', ...LITE, '--peer', 'onnxruntime', '--onnx', cat], /not converted from an ONNX file/],
    [['detect', cat, '--format', 'yaml'], /Allowed choices/],
    [['detect', cat, '--backend', 'wasm', '--isa', 'avx2'], /for native only/],
    [['convert', '--cfg', lite.cfg], /required option/],
  ])('%j exits with 2 and one message', (args, message) => {
    expectError(run(args), 2, message);
  });

  it('refuses a forced back-end that does not exist, by option and by variable', () => {
    expectError(
      run(['detect', cat], { env: { SPIKING_YOLO_BACKEND: 'gpu' } }),
      2,
      /SPIKING_YOLO_BACKEND is "gpu"/,
    );
    const mmx = run(['detect', cat, '--isa', 'mmx', '--backend', 'native']);
    const withoutNative = process.env.SPIKING_YOLO_TEST_WITHOUT_NATIVE === '1';
    expectError(
      mmx,
      withoutNative ? 1 : 2,
      withoutNative ? /native addon is not built/ : /"mmx" is not in this addon/,
    );
  });
});

describe('bad files', () => {
  const convertWith = (files: Partial<typeof lite>, extra: string[] = []) => {
    const { cfg, weights, names } = { ...lite, ...files };
    return run([
      'convert',
      '--cfg',
      cfg,
      '--weights',
      weights,
      '--names',
      names,
      '--calibration',
      `${root}samples`,
      '--out',
      join(folder, 'out.safetensors'),
      ...extra,
    ]);
  };
  const variant = (name: string, content: string | Uint8Array) => {
    const path = join(folder, name);
    writeFileSync(path, content);
    return path;
  };
  const nothingWritten = () =>
    expect(readdirSync(folder).filter((name) => /out\.safetensors|\.tmp$/.test(name))).toEqual([]);

  it('convert refuses each, exits with 1 and leaves nothing behind', () => {
    const weights = readFileSync(lite.weights);
    const cfg = readFileSync(lite.cfg, 'utf8');
    const withNaN = new Uint8Array(weights);
    withNaN.fill(0xff, 1000, 1004);
    mkdirSync(join(folder, 'empty'), { recursive: true });
    const broken = join(folder, 'broken-photos');
    mkdirSync(broken, { recursive: true });
    writeFileSync(join(broken, 'x.jpg'), 'text');
    const cases: [ReturnType<typeof run>, RegExp][] = [
      [
        convertWith({ weights: variant('short.weights', weights.subarray(0, 1e6)) }),
        /short\.weights: .*bytes are missing/,
      ],
      [
        convertWith({ weights: variant('long.weights', Buffer.concat([weights, Buffer.alloc(8)])) }),
        /8 bytes are left over/,
      ],
      [convertWith({ weights: variant('nan.weights', withNaN) }), /nan\.weights: .*not a finite number/],
      [
        convertWith({ cfg: variant('odd.cfg', cfg.replace('[maxpool]', '[lstm]')) }),
        /odd\.cfg: \[lstm\] line \d+/,
      ],
      [convertWith({ names: variant('few.names', 'cat\n') }), /few\.names: the file names 1 classes/],
      [
        convertWith({ cfg: join(folder, 'missing.cfg') }),
        /missing\.cfg: cannot read it: there is no such file/,
      ],
      [convertWith({}, ['--calibration', join(folder, 'empty')]), /holds no JPEG, PNG, BMP or WebP/],
      [convertWith({}, ['--calibration', broken]), /x\.jpg: not a JPEG/],
      [convertWith({}, ['--out', join(folder, 'few.names', 'model.safetensors')]), /cannot write it/],
      [convertWith({}, ['--out', '/proc/model.safetensors']), /cannot write it/],
    ];
    for (const [result, message] of cases) expectError(result, 1, message);
    nothingWritten();
  });

  it('a full disk is an error, and nothing half-written stays', () => {
    if (!existsSync('/dev/full')) return;
    const { status, stderr } = spawnSync(
      'sh',
      [
        '-c',
        `"${process.execPath}" "${root}dist/cli/main.js" detect "${cat}" --model tiny-yolo-lite-voc --steps 2 > /dev/full`,
      ],
      { encoding: 'utf8' },
    );
    expect(stderr).toMatch(/cannot write to stdout/);
    expect(status).toBe(1);
  });

  it('pipes and devices are refused, not waited for', () => {
    expectError(run(['detect', '/dev/zero', ...LITE]), 1, /not a regular file/);
    expectError(run(['detect', cat, '--model', '/dev/zero']), 1, /not a regular file/);
    expectError(
      run(['detect', cat, ...LITE, '--steps', '1', '--draw', '/proc/x/y.jpg']),
      1,
      /cannot write it/,
    );
  });

  it('detect refuses damaged models and photos', () => {
    const model = readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`);
    const cut = variant('cut.safetensors', model.subarray(0, model.length - 5));
    const flipped = new Uint8Array(model);
    flipped[40]! ^= 4;
    expectError(run(['detect', cat, '--model', cut]), 1, /cut\.safetensors: /);
    expectError(
      run(['detect', cat, '--model', variant('flipped.safetensors', flipped)]),
      1,
      /flipped\.safetensors: /,
    );
    expectError(run(['detect', cat, '--model', lite.weights]), 1, /no .safetensors model|truncated/);
    expectError(run(['detect', join(folder, 'nowhere.jpg'), ...LITE]), 1, /nowhere\.jpg: cannot read it/);
    expectError(run(['detect', variant('text.jpg', 'text'), ...LITE]), 1, /text\.jpg: not a JPEG/);
    const photo = readFileSync(cat);
    expectError(
      run(['detect', variant('cut.jpg', photo.subarray(0, photo.length * 0.7)), ...LITE]),
      1,
      /truncated/,
    );
    const result = run(['detect', cat, ...LITE, '--steps', '2', '--draw', join(folder, 'text.jpg', 'x')]);
    expectError(result, 1, /cannot write it/);
  });
});

describe('convert', () => {
  it('convert writes a model that detect runs, the same bytes each time', () => {
    const out = (name: string) => join(folder, name);
    const make = (path: string, extra: string[] = []) =>
      run([
        'convert',
        '--cfg',
        lite.cfg,
        '--weights',
        lite.weights,
        '--names',
        lite.names,
        '--calibration',
        `${root}samples`,
        '--resize',
        'stretch',
        '--out',
        path,
        ...extra,
      ]);
    expect(make(out('one.safetensors')).status).toBe(0);
    expect(make(out('two.safetensors'), ['--backend', 'wasm']).status).toBe(0);
    expect(Buffer.compare(readFileSync(out('one.safetensors')), readFileSync(out('two.safetensors')))).toBe(
      0,
    );
    for (const extra of [
      ['--weight-bits', '8'],
      ['--norm', 'layer'],
      ['--norm', 'none'],
      ['--preset', 'paper'],
    ]) {
      const path = out(`${extra[1]}.safetensors`);
      expect(make(path, extra), extra.join(' ')).toMatchObject({ status: 0 });
      expect(run(['detect', cat, '--model', path, '--steps', '2']).status).toBe(0);
    }
  });
});

describe('info', () => {
  it('names the back-end in its first line', () => {
    const expected = process.env.SPIKING_YOLO_TEST_WITHOUT_NATIVE === '1' ? 'wasm' : 'native';
    expect(run(['info']).stdout).toMatch(new RegExp(`^back-end: ${expected}\n`));
    expect(run(['info'], { env: { SPIKING_YOLO_BACKEND: 'wasm' } }).stdout).toMatch(
      /^back-end: wasm\ninstruction set: simd128\n/,
    );
    expect(run(['info', '--backend', 'reference']).stdout).toMatch(/^back-end: reference\n/);
    expect(run(['info']).stdout).toMatch(/tiny-yolo-plus .*\(default\)/);
  });
});

describe('text that is not UTF-8', () => {
  const cases = `${root}test/cases/non-utf8-text/`;
  const convert = (names: string, cfg = `${cases}plain.cfg`) =>
    run([
      ...['convert', '--cfg', cfg, '--weights', `${cases}two.weights`, '--names', names],
      ...['--calibration', `${root}samples`, '--out', join(folder, 'apples.safetensors')],
    ]);

  it('is refused as class names, with a word what to do', () => {
    expectError(
      convert(`${cases}latin1.names`),
      1,
      /latin1\.names: cannot read it: it is not text in UTF-8; save it in UTF-8/,
    );
    expect(existsSync(join(folder, 'apples.safetensors'))).toBe(false);
  });

  it('may stand in a cfg’s comments', () => {
    const cfg = join(folder, 'latin1.cfg');
    const comment = Buffer.from('# für Fußbälle\n', 'latin1');
    writeFileSync(cfg, Buffer.concat([comment, readFileSync(`${cases}plain.cfg`)]));
    const names = join(folder, 'two.names');
    writeFileSync(names, '\ufeffÄpfel\nBirnen\n');
    expect(convert(names, cfg).status).toBe(0);
    const model = join(folder, 'apples.safetensors');
    expectError(run(['detect', cat, '--model', model, '--classes', 'x']), 2, /: Äpfel, Birnen/);
  });

  it('is read in an annotation as its XML declares, or refused', () => {
    const set = join(folder, 'latin1');
    mkdirSync(set);
    copyFileSync(cat, join(set, 'a b.jpg'));
    const annotation = (encoding: string) =>
      writeFileSync(
        join(set, 'a b.xml'),
        Buffer.from(
          `<?xml version="1.0" encoding="${encoding}"?><annotation><object><name>Äpfel</name><bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object></annotation>`,
          'latin1',
        ),
      );
    writeFileSync(join(set, 'ids'), 'a b\n');
    const evaluate = () =>
      run([
        ...['eval', '--model', join(folder, 'apples.safetensors'), '--images', set, '--annotations', set],
        ...['--ids', join(set, 'ids'), '--steps', '2', '--format', 'json'],
      ]);
    annotation('ISO-8859-1');
    expect(evaluate()).toMatchObject({ status: 0, stdout: expect.stringContaining('"Äpfel"') });
    annotation('UTF-8');
    expect(evaluate().stderr).toMatch(/a b\.xml: cannot read it: it is not text in UTF-8/);
    annotation('klingon');
    expect(evaluate().stderr).toMatch(/its encoding, klingon, is not known/);
  });
});

describe('a Node without WebAssembly', () => {
  const jitless = { env: { NODE_OPTIONS: '--jitless' } };

  it('runs natively or by the reference, and says that JPEGs go through another decoder', () => {
    const { stdout, status } = run(['info'], jitless);
    expect(stdout).toMatch(/^back-end: (native|reference)$/m);
    expect(stdout).toMatch(/^JPEG decoder: jpeg-js .*without WebAssembly/m);
    expect(status).toBe(0);
    const script = `import { readPhoto } from '${root}dist/index.js'; const { width, decoder } = await readPhoto('${cat}'); console.log(width, decoder);`;
    const decoded = spawnSync(process.execPath, ['--jitless', '--input-type=module', '-e', script], {
      encoding: 'utf8',
    });
    expect(decoded.stdout).toBe('451 jpeg-js\n');
  });

  it('refuses what needs it with one error', () => {
    expectError(run(['info', '--backend', 'wasm'], jitless), 1, /error: WebAssembly does not exist here/);
    expectError(
      run(['detect', `${root}test/cases/webp/lossy.webp`, ...LITE, '--ann'], jitless),
      1,
      /WebP.*WebAssembly/,
    );
  });
});
