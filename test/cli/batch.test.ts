import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { watchFolder } from '../../src/cli/watch.js';
import { expectError, run } from '../support/command.js';
import { root } from '../support/shared.js';

const FAST = ['--model', 'tiny-yolo-lite-voc', '--steps', '4', '--workers', '2'];
let folder: string;
let photos: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'batch-'));
  photos = join(folder, 'photos');
  mkdirSync(join(photos, 'deeper'), { recursive: true });
  for (let i = 0; i < 8; i++)
    copyFileSync(`${root}samples/${i % 2 ? 'cat' : 'astronaut'}.jpg`, join(photos, `p${i}.jpg`));
  copyFileSync(`${root}samples/cat.jpg`, join(photos, 'deeper', 'q.jpg'));
  writeFileSync(join(photos, 'notes.txt'), 'no photo');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const lines = (text: string) =>
  text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));
const names = (records: { path: string }[]) => records.map(({ path }) => path.slice(photos.length + 1));
/** What does not depend on the machine's mood. */
const essence = ({ elapsedMs: _, absolutePath: __, ...rest }: Record<string, unknown>) => rest;
const detect = (...args: string[]) => run(['detect', ...args, ...FAST]);

describe('what detect takes', () => {
  it('quoted globs, folders and files, each photo once, in order', () => {
    const found = lines(
      detect(join(photos, '**/*.jpg'), photos, join(photos, 'p3.jpg'), '--format', 'ndjson').stdout,
    );
    expect(names(found)).toEqual(['deeper/q.jpg', ...[0, 1, 2, 3, 4, 5, 6, 7].map((i) => `p${i}.jpg`)]);
    // p1 and q are the same photo
    expect(essence({ ...found[0], path: '' })).toEqual(essence({ ...found[2], path: '' }));
  });

  it('a list on stdin', () => {
    const { stdout, status } = spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'detect', '-', '--format', 'ndjson', ...FAST],
      { encoding: 'utf8', input: `${join(photos, 'p1.jpg')}\r\n\n${join(photos, 'p2.jpg')}` },
    );
    expect(names(lines(stdout))).toEqual(['p1.jpg', 'p2.jpg']);
    expect(status).toBe(0);
  });

  it('a glob below a folder whose name has a glob’s characters', () => {
    for (const name of ['photos (1)', 'a{b}', 'set [2020]', 'what?!']) {
      mkdirSync(join(folder, name));
      copyFileSync(`${root}samples/cat.jpg`, join(folder, name, 'IMG (1).jpg'));
      for (const pattern of ['*.jpg', 'IMG (*).jpg', '@(IMG|DSC)*', '*.{jpg,png}'])
        expect(names(lines(detect(join(folder, name, pattern), '--format', 'ndjson').stdout))).toHaveLength(
          1,
        );
      expectError(detect(join(folder, name, '*.png')), 2, /no file matches/);
    }
    expectError(detect(join(folder, 'photos (2)', 'IMG (1).jpg')), 1, /there is no such file/);
  });

  it('every name that JPEGs go by, WebP, and nothing else', () => {
    const odd = join(folder, 'extensions');
    mkdirSync(odd);
    for (const name of ['a.jpg', 'b.jfif', 'c.JPE', 'd.jif', 'e.Jpeg'])
      copyFileSync(`${root}samples/cat.jpg`, join(odd, name));
    copyFileSync(`${root}test/cases/webp/lossy.webp`, join(odd, 'f.webp'));
    writeFileSync(join(odd, 'g.gif'), 'GIF89a');
    const drawn = join(folder, 'extensions-drawn');
    const { stdout, status } = detect(odd, '--format', 'ndjson', '--draw', drawn);
    expect(status).toBe(0);
    expect(lines(stdout).map(({ path }) => path.split('/').at(-1))).toEqual([
      'a.jpg',
      'b.jfif',
      'c.JPE',
      'd.jif',
      'e.Jpeg',
      'f.webp',
    ]);
    expect(readdirSync(drawn)).toEqual(['a.jpg', 'b.jfif', 'c.JPE', 'd.jif', 'e.Jpeg', 'f.png']);
    expect(lines(detect(join(odd, '*.jfif'), '--format', 'ndjson').stdout)).toHaveLength(1);
  });

  it('each file once, also where links lead to it', () => {
    const loop = join(folder, 'loop');
    mkdirSync(loop);
    copyFileSync(`${root}samples/cat.jpg`, join(loop, 'cat.jpg'));
    symlinkSync('.', join(loop, 'self'));
    symlinkSync('cat.jpg', join(loop, 'other.jpg'));
    const found = lines(detect(join(loop, '**/*.jpg'), '--format', 'ndjson').stdout);
    expect(found.map(({ path }) => path)).toEqual([join(loop, 'cat.jpg')]);
  });

  it('a name that is not UTF-8 with a word about it, a list’s byte-order mark not at all', () => {
    const odd = join(folder, 'latin');
    mkdirSync(odd);
    copyFileSync(`${root}samples/cat.jpg`, join(odd, 'a.jpg'));
    writeFileSync(
      Buffer.concat([Buffer.from(`${odd}/stra`), Buffer.from([0xdf]), Buffer.from('e.jpg')]),
      readFileSync(`${root}samples/cat.jpg`),
    );
    const { stdout, stderr, status } = detect(odd, '--format', 'ndjson');
    expect(stderr).toMatch(/its name is not UTF-8; rename it/);
    expect(lines(stdout).filter(({ error }) => !error)).toHaveLength(1);
    expect(status).toBe(1);
    const marked = spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'detect', '-', '--format', 'ndjson', ...FAST],
      {
        encoding: 'utf8',
        input: `\ufeff${join(photos, 'p1.jpg')}\r\n`,
      },
    );
    expect(names(lines(marked.stdout))).toEqual(['p1.jpg']);
  });

  it('a glob’s characters in a file’s own name', () => {
    const odd = join(folder, 'odd[1].jpg');
    copyFileSync(`${root}samples/cat.jpg`, odd);
    expect(detect(odd).stdout).toContain('odd[1].jpg: 451×300');
  });
});

describe('what detect writes', () => {
  it('csv: a row a detection, one for a photo with none, one for a failure', () => {
    const bad = join(folder, 'bad, "really".jpg');
    writeFileSync(bad, 'text');
    const { stdout, status } = detect(
      join(photos, 'p1.jpg'),
      bad,
      '--format',
      'csv',
      '--conf',
      '0.01',
      '--max-det',
      '2',
    );
    expect(status).toBe(1);
    const rows = stdout.trim().split('\n');
    expect(rows[0]).toBe('path,class,score,x1,y1,x2,y2,error');
    expect(rows[1]).toMatch(/p1\.jpg,\w+,0\.\d+,[\d.]+,[\d.]+,[\d.]+,[\d.]+,$/);
    expect(rows).toHaveLength(4);
    expect(rows[3]).toMatch(/^"[^"]*bad, ""really""\.jpg",,,,,,,/);
    expect(detect(join(photos, 'p1.jpg'), '--format', 'csv', '--conf', '1').stdout).toMatch(
      /\n.*p1\.jpg,,,,,,,\n$/,
    );
  });

  it('--out by its name’s format, complete or not at all', () => {
    const json = join(folder, 'found.json');
    expect(detect(photos, '--out', json)).toMatchObject({ status: 0, stdout: '' });
    expect(JSON.parse(readFileSync(json, 'utf8'))).toHaveLength(8);
    const one = join(folder, 'one.json');
    expect(detect(join(photos, 'p1.jpg'), '--out', one).status).toBe(0);
    expect(JSON.parse(readFileSync(one, 'utf8'))).toHaveLength(1);
    expectError(detect(photos, '--out', join(json, 'below.json')), 1, /cannot write it/);
    expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it('a folder in the way of a drawn photo: the message names it whole', () => {
    const drawn = join(folder, 'in-the-way');
    mkdirSync(join(drawn, 'a.jpg'), { recursive: true });
    const photo = join(folder, 'a.jpg');
    copyFileSync(join(photos, 'p1.jpg'), photo);
    const result = run(['detect', 'a.jpg', '--draw', 'in-the-way', ...FAST], { cwd: folder });
    expectError(result, 1, /^error: a\.jpg: in-the-way\/a\.jpg: cannot write it: it is a folder$/m);
  });

  it('--out keeps the owner and mode of the file that it replaces', () => {
    const out = join(folder, 'owned.json');
    writeFileSync(out, '[]');
    chmodSync(out, 0o640);
    const root = process.getuid?.() === 0;
    if (root) chownSync(out, 1000, 1000);
    expect(detect(join(photos, 'p1.jpg'), '--out', out).status).toBe(0);
    expect(JSON.parse(readFileSync(out, 'utf8'))).toHaveLength(1);
    const { mode, uid, gid } = statSync(out);
    expect(mode & 0o777).toBe(0o640);
    if (root) expect([uid, gid]).toEqual([1000, 1000]);
  });

  it('on a full disk: one error, and the whole lines so far', () => {
    const disk = mkdtempSync(join(tmpdir(), 'disk-'));
    const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'tmpfs', disk]).status === 0;
    if (!mounted) return;
    try {
      for (const format of ['ndjson', 'json']) {
        const out = join(disk, `found.${format}`);
        writeFileSync(join(disk, 'ballast'), Buffer.alloc(12 * 1024));
        expectError(detect(photos, '--conf', '0.005', '--out', out), 1, /the disk is full/);
        rmSync(join(disk, 'ballast'));
        if (format === 'json') expect(readdirSync(disk)).toEqual(['found.ndjson']);
        else {
          // every line that is there is whole, and the rest can be made up for
          const kept = lines(readFileSync(out, 'utf8'));
          expect(kept.length).toBeLessThan(8);
          rmSync(out);
          writeFileSync(out, '');
        }
      }
    } finally {
      spawnSync('umount', [disk]);
      rmSync(disk, { recursive: true, force: true });
    }
  });
});

describe('runs that go on', () => {
  const whole = () => lines(detect(photos, '--format', 'ndjson').stdout).map(essence);

  it('kill -9 in the middle, then --resume: the same as an uninterrupted run', async () => {
    const out = join(folder, 'killed.ndjson');
    const slow = [
      'detect',
      photos,
      '--out',
      out,
      '--model',
      'tiny-yolo-lite-voc',
      '--steps',
      '4',
      '--workers',
      '1',
    ];
    const child = spawn(process.execPath, [`${root}dist/cli/main.js`, ...slow, '--backend', 'wasm']);
    while (child.exitCode === null && !(existsSync(out) && readFileSync(out, 'utf8').includes('\n')))
      await wait(5);
    child.kill('SIGKILL');
    await new Promise((resolve) => child.once('exit', resolve));
    // and its last write was torn
    writeFileSync(out, `${readFileSync(out, 'utf8')}{"path":"${photos}/p7.j`);
    expect(detect(photos, '--out', out, '--resume').status).toBe(0);
    const strip = ({ backend: _, ...rest }: Record<string, unknown>) => rest;
    expect(lines(readFileSync(out, 'utf8')).map(essence).map(strip)).toEqual(whole().map(strip));
  });

  it('tries failures again, and skips what is there', () => {
    const some = join(folder, 'some');
    mkdirSync(some);
    copyFileSync(join(photos, 'p0.jpg'), join(some, 'a.jpg'));
    writeFileSync(join(some, 'b.jpg'), 'not yet a photo');
    const out = join(folder, 'some.ndjson');
    expectError(detect(some, '--out', out), 1, /b\.jpg/);
    const [good, failed] = lines(readFileSync(out, 'utf8'));
    expect(failed).toMatchObject({ path: join(some, 'b.jpg'), error: { code: 'IMAGE' } });
    copyFileSync(join(photos, 'p1.jpg'), join(some, 'b.jpg'));
    expect(detect(some, '--out', out, '--resume').status).toBe(0);
    const after = lines(readFileSync(out, 'utf8'));
    expect(after[0]).toEqual(good);
    expect(after.map(({ path, width }) => [path, width])).toEqual([
      [join(some, 'a.jpg'), 512],
      [join(some, 'b.jpg'), 451],
    ]);
    // nothing is left to do; other settings are another run
    expect(detect(some, '--out', out, '--resume').status).toBe(0);
    expect(lines(readFileSync(out, 'utf8'))).toEqual(after);
    expectError(
      run(['detect', some, '--out', out, '--resume', '--steps', '5', ...FAST.slice(0, 2)]),
      1,
      /other settings \(steps\)/,
    );
    writeFileSync(out, '{"name":"someone else’s"}\n');
    expectError(detect(some, '--out', out, '--resume'), 1, /no file of detect --format ndjson/);
    expect(readFileSync(out, 'utf8')).toBe('{"name":"someone else’s"}\n');
  });

  it('--resume knows a photo by its place, not by how it was spelt', () => {
    const [monday, tuesday] = ['monday', 'tuesday'].map((day) => join(folder, day, 'cam')) as [
      string,
      string,
    ];
    for (const [i, day] of [monday, tuesday].entries()) {
      mkdirSync(day, { recursive: true });
      copyFileSync(join(photos, `p${i}.jpg`), join(day, '1.jpg'));
    }
    const out = join(folder, 'days.ndjson');
    const daily = (cwd: string, spelling = 'cam') =>
      run(['detect', spelling, '--out', out, '--resume', ...FAST], { cwd });
    expect(daily(join(folder, 'monday')).status).toBe(0);
    expect(daily(join(folder, 'tuesday')).status).toBe(0);
    const records = lines(readFileSync(out, 'utf8'));
    expect(records.map(({ path, absolutePath, width }) => [path, absolutePath, width])).toEqual([
      ['cam/1.jpg', join(monday, '1.jpg'), 512],
      ['cam/1.jpg', join(tuesday, '1.jpg'), 451],
    ]);
    expect(daily(folder, 'monday/cam').stderr).toMatch(/1 were there already/);
    expect(lines(readFileSync(out, 'utf8'))).toEqual(records);
    // two photos, not one that is told of twice
    const merged = join(folder, 'days-merged.ndjson');
    expect(run(['merge', out, '--out', merged]).stdout).toBe(`${merged}: 2 photos\n`);
    const { absolutePath: _, ...older } = records[0];
    writeFileSync(out, `${JSON.stringify(older)}\n`);
    expectError(daily(join(folder, 'monday')), 1, /older version.*cam\/1\.jpg/);
  });

  it('merge and export take the last line of a photo that was written anew', () => {
    const out = join(folder, 'anew.ndjson');
    const latest = join(folder, 'latest.jpg');
    const take = (name: string) => {
      copyFileSync(join(photos, name), latest);
      const part = join(folder, `${name}.ndjson`);
      expect(detect(latest, '--out', part).status).toBe(0);
      return readFileSync(part, 'utf8');
    };
    writeFileSync(out, take('p0.jpg') + take('p1.jpg'));
    const merged = join(folder, 'anew-merged.ndjson');
    expect(run(['merge', out, '--out', merged])).toMatchObject({ status: 0 });
    expect(lines(readFileSync(merged, 'utf8')).map(({ width }) => width)).toEqual([451]);
    for (const format of ['coco', 'voc', 'yolo'])
      expect(run(['export', out, '--format', format, '--out', join(folder, `anew-${format}`)])).toMatchObject(
        {
          status: 0,
          stdout: expect.stringMatching(/for 1 photos/),
        },
      );
  });

  it('--resume does a photo again whose last line is a failure', () => {
    const out = join(folder, 'failed-last.ndjson');
    const photo = join(folder, 'failed-last.jpg');
    copyFileSync(join(photos, 'p1.jpg'), photo);
    expect(detect(photo, '--out', out).status).toBe(0);
    const failure = { path: photo, absolutePath: photo, error: { code: 'IMAGE', message: 'torn' } };
    writeFileSync(out, `${readFileSync(out, 'utf8')}${JSON.stringify(failure)}\n`);
    expect(run(['export', out, '--format', 'coco', '--out', join(folder, 'failed-last')]).status).toBe(1);
    copyFileSync(join(photos, 'p0.jpg'), photo);
    expect(detect(photo, '--out', out, '--resume').status).toBe(0);
    expect(lines(readFileSync(out, 'utf8')).map(({ width }) => width)).toEqual([512]);
  });

  it('merge takes the last line of each file, in any order of the files', () => {
    const [one, two] = ['one', 'two'].map((name) => join(folder, `${name}.ndjson`)) as [string, string];
    const record = (width: number) =>
      `${JSON.stringify({ path: 'a.jpg', absolutePath: '/a.jpg', width, height: 1, detections: [] })}\n`;
    writeFileSync(one, record(2));
    writeFileSync(two, record(1) + record(2));
    for (const files of [
      [one, two],
      [two, one],
    ])
      expect(run(['merge', ...files, '--out', join(folder, 'merged-last.ndjson')])).toMatchObject({
        status: 0,
      });
  });

  it('a line without an end is one error', () => {
    const long = join(folder, 'long.ndjson');
    writeFileSync(long, `${'x'.repeat(2 ** 26 + 2 ** 20)}\n`);
    expectError(
      run(['export', long, '--format', 'coco', '--out', join(folder, 'x')]),
      1,
      /line 1 is longer than/,
    );
    const array = join(folder, 'array.ndjson');
    writeFileSync(array, '[\n{}\n]\n');
    expectError(run(['merge', array, '--out', join(folder, 'x')]), 1, /is a JSON array.*--format ndjson/);
  });

  it('Ctrl-C leaves nothing of a single photo behind', async () => {
    const out = join(folder, 'single.ndjson');
    const child = spawn(process.execPath, [
      ...[`${root}dist/cli/main.js`, 'detect', join(photos, 'p1.jpg'), '--out', out],
      ...['--model', 'tiny-yolo-lite-voc', '--steps', '200000', '--backend', 'wasm'],
    ]);
    for (const end = Date.now() + 30_000; !existsSync(`${out}.lock`) && Date.now() < end; ) await wait(20);
    await wait(500);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
    expect(existsSync(`${out}.lock`)).toBe(false);
  });

  it('merge takes no more memory for more photos', () => {
    const count = 80_000;
    const file = join(folder, 'long.ndjson');
    const detections = new Array(10).fill({
      class: 'cat',
      classId: 7,
      score: 0.5,
      box: { x1: 1, y1: 2, x2: 3, y2: 4 },
    });
    const out = openSync(file, 'w');
    for (let i = 0; i < count; i += 1000) {
      const paths = Array.from({ length: 1000 }, (_, k) => `/srv/photos/${((i + k) * 7919) % count}.jpg`);
      const records = paths.map((path) => ({
        path,
        absolutePath: path,
        width: 640,
        height: 480,
        detections,
        model: 'm',
      }));
      writeSync(out, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    }
    closeSync(out);
    // less than the file has
    const heap = ['--max-old-space-size=52', '--max-semi-space-size=1'];
    expect(statSync(file).size).toBeGreaterThan(52 * 2 ** 20);
    const merged = join(folder, 'long-merged.ndjson');
    const { stdout } = spawnSync(
      process.execPath,
      [...heap, `${root}dist/cli/main.js`, 'merge', file, '--out', merged],
      { encoding: 'utf8' },
    );
    expect(stdout).toBe(`${merged}: ${count} photos\n`);
    const paths = lines(readFileSync(merged, 'utf8')).map(({ path }) => path);
    expect(paths).toEqual(paths.toSorted());
    expect(new Set(paths).size).toBe(count);
  });

  it('--shard and merge: the parts together are the whole', () => {
    const parts = [1, 2, 3].map((i) => {
      const out = join(folder, `part${i}.ndjson`);
      expect(detect(photos, '--shard', `${i}/3`, '--out', out).status).toBe(0);
      return out;
    });
    expect(parts.map((part) => lines(readFileSync(part, 'utf8')).length)).toEqual([3, 3, 2]);
    const merged = join(folder, 'merged.ndjson');
    expect(run(['merge', ...parts, parts[0]!, '--out', merged])).toMatchObject({
      status: 0,
      stdout: `${merged}: 8 photos\n`,
    });
    expect(lines(readFileSync(merged, 'utf8')).map(essence)).toEqual(whole());
    const other = join(folder, 'other.ndjson');
    expect(run(['detect', photos, '--out', other, ...FAST.slice(0, 2), '--steps', '3']).status).toBe(0);
    expectError(run(['merge', merged, other, '--out', join(folder, 'x')]), 1, /tell of it differently/);
    expectError(run(['merge', merged, '--out', merged]), 2, /would overwrite/);
    writeFileSync(other, '{"path":"torn');
    expectError(run(['merge', merged, other, '--out', join(folder, 'x')]), 1, /last line is torn/);
    expect(existsSync(join(folder, 'x'))).toBe(false);
  });

  it('merge takes the success where another file has a failure', () => {
    const [fail, done] = ['fail', 'done'].map((name) => join(folder, `${name}.ndjson`)) as [string, string];
    const record = { path: 'a.jpg', width: 1, height: 1, detections: [] };
    const failure = (path: string) => ({ path, error: { code: 'FILE', message: 'gone' } });
    const write = (path: string, records: object[]) =>
      writeFileSync(path, records.map((one) => `${JSON.stringify(one)}\n`).join(''));
    write(fail, [failure('a.jpg'), failure('b.jpg')]);
    write(done, [record]);
    for (const files of [
      [fail, done],
      [done, fail],
    ]) {
      const out = join(folder, 'both.ndjson');
      expect(run(['merge', ...files, '--out', out]).status).toBe(1);
      expect(lines(readFileSync(out, 'utf8'))).toEqual([record, failure('b.jpg')]);
    }
  });
});

describe('files that are not to be touched', () => {
  it('--draw never replaces a photo, whatever link leads there', () => {
    const originals = join(folder, 'originals');
    mkdirSync(originals);
    for (const name of ['a.jpg', 'b.jpg']) copyFileSync(join(photos, 'p1.jpg'), join(originals, name));
    symlinkSync(originals, join(folder, 'to-originals'));
    const drawn = join(folder, 'with-a-link');
    mkdirSync(drawn);
    symlinkSync(join(originals, 'b.jpg'), join(drawn, 'a.jpg'));
    expectError(detect(originals, '--draw', join(folder, 'to-originals')), 2, /would overwrite the photo/);
    expectError(detect(originals, '--draw', drawn), 2, /would overwrite the photo/);
    const listed = spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'detect', '-', '--draw', join(folder, 'to-originals'), ...FAST],
      { encoding: 'utf8', input: join(originals, 'a.jpg') },
    );
    expect(listed.stderr).toMatch(/would overwrite the photo/);
    for (const name of ['a.jpg', 'b.jpg'])
      expect(readFileSync(join(originals, name)).equals(readFileSync(join(photos, 'p1.jpg')))).toBe(true);
  });

  it('an output never replaces an input, also by a link, nor another output', () => {
    const photo = join(folder, 'precious.jpg');
    copyFileSync(join(photos, 'p1.jpg'), photo);
    const model = join(folder, 'precious.safetensors');
    copyFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`, model);
    const link = join(folder, 'link.ndjson');
    symlinkSync(photo, link);
    expectError(detect(photo, '--out', link), 2, /would overwrite/);
    expectError(
      run(['detect', photo, '--model', model, '--out', model, '--format', 'ndjson']),
      2,
      /would overwrite/,
    );
    expectError(
      detect(photo, '--draw', join(folder, 'o.png'), '--out', join(folder, 'o.png')),
      2,
      /both write/,
    );
    const streamed = spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'detect', '-', '--format', 'ndjson', '--out', photo, ...FAST],
      { encoding: 'utf8', input: photo },
    );
    expect(streamed.stderr).toMatch(/results are text/);
    expect(readFileSync(photo).equals(readFileSync(join(photos, 'p1.jpg')))).toBe(true);
    expect(readFileSync(model).length).toBeGreaterThan(1e6);
  });

  it('someone’s notes, pipes and folders are refused; a link’s target is replaced', () => {
    const notes = join(folder, 'notes.ndjson');
    writeFileSync(notes, 'my notes');
    for (const more of [[], ['--resume']]) {
      expectError(detect(photos, '--out', notes, ...more), 1, /no file of detect/);
      expect(readFileSync(notes, 'utf8')).toBe('my notes');
    }
    const pipe = join(folder, 'pipe.json');
    spawnSync('mkfifo', [pipe]);
    expectError(detect(join(photos, 'p1.jpg'), '--out', pipe), 1, /not a regular file/);
    const [target, link] = [join(folder, 'target.json'), join(folder, 'link.json')];
    writeFileSync(target, 'old');
    symlinkSync(target, link);
    expect(detect(join(photos, 'p1.jpg'), '--out', link).status).toBe(0);
    expect(JSON.parse(readFileSync(target, 'utf8'))).toHaveLength(1);
    expect(lstatSync(link).isSymbolicLink()).toBe(true);
  });

  it('two processes do not write one file; a killed one’s lock is taken over', () => {
    const out = join(folder, 'locked.ndjson');
    writeFileSync(`${out}.lock`, String(process.pid));
    expectError(detect(photos, '--out', out), 1, new RegExp(`process ${process.pid} is writing it`));
    writeFileSync(`${out}.lock`, String(spawnSync('true').pid));
    expect(detect(join(photos, 'p1.jpg'), '--out', out).status).toBe(0);
    expect(existsSync(`${out}.lock`)).toBe(false);
  });
});

describe('lists on stdin', () => {
  const listed = (input: string | Buffer, ...args: string[]) => {
    const { stdout, stderr, status, signal } = spawnSync(
      process.execPath,
      [`${root}dist/cli/main.js`, 'detect', '-', '-', '--format', 'ndjson', ...FAST, ...args],
      { encoding: 'utf8', input, maxBuffer: 2 ** 26 },
    );
    return { stdout, stderr, status, signal };
  };

  it('a photo that cannot be drawn fails alone', () => {
    const other = join(folder, 'other');
    mkdirSync(other);
    copyFileSync(join(photos, 'p1.jpg'), join(other, 'p1.jpg'));
    const result = listed(
      [join(photos, 'p1.jpg'), join(other, 'p1.jpg'), join(photos, 'p3.jpg')].join('\n'),
      '--draw',
      join(folder, 'listed'),
    );
    expectError(result, 1, /would write .*p1\.jpg twice/);
    expect(lines(result.stdout).map(({ error }) => error?.code)).toEqual([undefined, 'USAGE', undefined]);
  });

  it('a line without end and a folder are one error', () => {
    expectError(listed(Buffer.alloc(1e6, 'x')), 1, /line of more than/);
    const folderAsList = spawnSync(
      'bash',
      ['-c', `"${process.execPath}" "${root}dist/cli/main.js" detect - < /`],
      { encoding: 'utf8' },
    );
    expectError({ ...folderAsList }, 1, /cannot read it: it is a folder/);
  });

  it('Ctrl-C ends a list that does not end', async () => {
    const child = spawn(process.execPath, [
      `${root}dist/cli/main.js`,
      'detect',
      '-',
      '--format',
      'json',
      ...FAST,
    ]);
    let stdout = '';
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stdin.write(`${join(photos, 'p1.jpg')}\n`);
    for (const end = Date.now() + 30_000; !stdout.includes('p1.jpg') && Date.now() < end; ) await wait(20);
    child.kill('SIGINT');
    expect(await new Promise((resolve) => child.once('exit', resolve))).toBe(130);
    expect(JSON.parse(stdout)).toHaveLength(1);
  });
});

describe('--watch', () => {
  it('takes what is there, then each photo once it is written whole, and ends with the signal', async () => {
    const camera = join(folder, 'camera');
    mkdirSync(camera);
    copyFileSync(join(photos, 'p1.jpg'), join(camera, 'first.jpg'));
    const out = join(folder, 'camera.ndjson');
    const drawn = join(folder, 'camera-drawn');
    const start = () =>
      spawn(process.execPath, [
        `${root}dist/cli/main.js`,
        'detect',
        '--watch',
        camera,
        '--out',
        out,
        '--resume',
        '--draw',
        drawn,
        ...FAST,
      ]);
    const seen = () =>
      existsSync(out) ? names(lines(readFileSync(out, 'utf8'))).map((name) => name.split('/').at(-1)) : [];
    const until = async (count: number) => {
      for (const end = Date.now() + 30_000; seen().length < count && Date.now() < end; ) await wait(50);
    };
    const ended = (child: ReturnType<typeof start>) =>
      new Promise<number | null>((resolve) => child.once('exit', (code) => resolve(code)));
    let child = start();
    await until(1);
    const bytes = readFileSync(join(photos, 'p0.jpg'));
    writeFileSync(join(camera, 'second.jpg'), bytes.subarray(0, 1000));
    await wait(200);
    writeFileSync(join(camera, 'second.jpg'), bytes);
    writeFileSync(join(camera, 'readme.txt'), 'x');
    await until(2);
    child.kill('SIGTERM');
    expect(await ended(child)).toBe(0);
    expect(seen()).toEqual(['first.jpg', 'second.jpg']);
    expect(readdirSync(drawn).sort()).toEqual(['first.jpg', 'second.jpg']);
    child = start();
    copyFileSync(join(photos, 'p1.jpg'), join(camera, 'third.jpg'));
    await until(3);
    child.kill('SIGINT');
    expect(await ended(child)).toBe(130);
    expect(seen()).toEqual(['first.jpg', 'second.jpg', 'third.jpg']);
    // a photo that is written anew is looked at anew; a folder that goes away is an error
    child = start();
    await wait(4000);
    writeFileSync(join(camera, 'first.jpg'), bytes);
    await until(4);
    expect(seen().at(-1)).toBe('first.jpg');
    rmSync(camera, { recursive: true });
    expect(await ended(child)).toBe(1);
    expectError(run(['detect', '--watch', join(folder, 'nowhere')]), 1, /no such folder/);
  });
});

describe('a watched folder that goes away', () => {
  const gone = () => join(folder, 'gone');
  it.each([
    ['gone', 'a photo in it', () => rmSync(gone(), { recursive: true })],
    ['./gone', 'a photo in it', () => rmSync(gone(), { recursive: true })],
    ['gone/', 'nothing in it', () => rmSync(gone(), { recursive: true })],
    ['ABSOLUTE', 'nothing in it', () => renameSync(gone(), join(folder, 'moved'))],
    ['ABSOLUTE/', 'a photo in it', () => rmSync(gone(), { recursive: true })],
    [
      'gone',
      'made again at once',
      () => {
        renameSync(gone(), join(folder, 'moved'));
        mkdirSync(gone());
      },
    ],
  ])('ends the command: %s, %s', async (spelling, content, remove) => {
    for (const name of ['gone', 'moved']) rmSync(join(folder, name), { recursive: true, force: true });
    mkdirSync(gone());
    if (content !== 'nothing in it') copyFileSync(join(photos, 'p1.jpg'), join(gone(), 'first.jpg'));
    const child = spawn(
      process.execPath,
      [
        `${root}dist/cli/main.js`,
        'detect',
        '--watch',
        spelling.replace('ABSOLUTE', gone()),
        '--format',
        'csv',
        ...FAST,
      ],
      { cwd: folder },
    );
    let [stdout, stderr] = ['', ''];
    child.stdout.on('data', (text) => {
      stdout += text;
    });
    child.stderr.on('data', (text) => {
      stderr += text;
    });
    const exit = new Promise((resolve) => child.once('exit', resolve));
    const seen = () => content === 'nothing in it' || stdout.includes('first.jpg');
    for (const end = Date.now() + 60_000; !seen() && Date.now() < end; ) await wait(20);
    // nothing tells that an empty folder is watched by now; on a slow machine it may not even have been looked at
    if (content === 'nothing in it') await wait(3000);
    remove();
    expect(await exit).toBe(1);
    expect(stderr).toMatch(content === 'nothing in it' ? /is gone|no such folder/ : /the folder is gone/);
  });

  it('is an error when it went before the first photo was asked for, or was never there', async () => {
    rmSync(gone(), { recursive: true, force: true });
    mkdirSync(gone());
    const { signal } = new AbortController();
    const paths = watchFolder(gone(), signal);
    rmSync(gone(), { recursive: true });
    await expect(paths.next()).rejects.toThrow(/the folder is gone/);
    await expect(watchFolder(gone(), signal).next()).rejects.toThrow(/the folder is gone/);
  });
});

describe('completion', () => {
  it.each(['bash', 'zsh', 'fish'])('%s: every command and option is in it', (shell) => {
    const { stdout, status } = run(['completion', shell]);
    expect(status).toBe(0);
    for (const word of ['detect', 'merge', 'export', 'report', 'resume', 'weight-bits', 'ibt-memory'])
      expect(stdout).toContain(word);
    expect(stdout).not.toContain('undefined');
  });

  it('works in bash', () => {
    const script = join(folder, 'completion.bash');
    writeFileSync(script, run(['completion', 'bash']).stdout);
    const complete = (...words: string[]) =>
      spawnSync(
        'bash',
        [
          '-c',
          `source '${script}'; COMP_WORDS=(spiking-yolo ${words.map((word) => `'${word}'`).join(' ')}); COMP_CWORD=${words.length}; _spiking_yolo; echo "\${COMPREPLY[@]}"`,
        ],
        { encoding: 'utf8' },
      ).stdout.trim();
    expect(complete('de')).toBe('detect');
    expect(complete('convert', '--wei')).toBe('--weights --weight-bits');
    expect(complete('detect', '--neuron', 'i')).toBe('ibt-memory ibt if');
  });
});
