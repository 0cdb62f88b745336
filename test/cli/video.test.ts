import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
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
import { expectError, run } from '../support/command.js';
import { describeWithProgram } from '../support/programs.js';
import { root } from '../support/shared.js';

let folder: string;
let frames: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'video-'));
  frames = join(folder, 'frames');
  mkdirSync(frames);
  for (const [i, name] of ['cat', 'cat', 'astronaut', 'astronaut', 'cat'].entries())
    copyFileSync(`${root}samples/${name}.jpg`, join(frames, `${i}.jpg`));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const detect = (...args: string[]) => run(['detect', '--model', 'tiny-yolo-lite-voc', '--video', ...args]);
const linesOf = (text: string) =>
  text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

describe('detect --video', () => {
  it('writes a line a frame, those that do not differ at no cost', () => {
    const { stdout, stderr, status } = detect(frames, '--fps', '2', '--format', 'ndjson', '--checksum');
    expect([status, stderr]).toEqual([0, '']);
    const records = linesOf(stdout);
    expect(records.map(({ frame, time, changed }) => [frame, time, changed > 0])).toEqual([
      [0, 0, true],
      [1, 0.5, false],
      [2, 1, true],
      [3, 1.5, false],
      [4, 2, true],
    ]);
    for (const record of records) {
      expect(record.path).toBe(frames);
      expect(record.spikes > 0).toBe(record.changed > 0);
    }
    expect(records[4].spikeChecksum).toBe(records[0].spikeChecksum);
    expect(records[3].detections).toEqual(records[2].detections);
  });

  it('writes changes alone, as text, into a file, and draws frames', () => {
    const text = detect(frames, '--only-changes').stdout.trim().split('\n');
    expect(text).toHaveLength(3);
    expect(text[0]).toMatch(/^frame 0, 0\.00 s: cat.* \(100\.0 % changed, \d/);
    const out = join(folder, 'found.ndjson');
    const drawn = join(folder, 'drawn');
    expect(detect(frames, '--every', '2', '--out', out, '--draw', drawn).status).toBe(0);
    expect(linesOf(readFileSync(out, 'utf8')).map(({ frame }) => frame)).toEqual([0, 2, 4]);
    expect(readdirSync(drawn).sort()).toEqual(['000000.jpg', '000002.jpg', '000004.jpg']);
    expectError(detect(frames, '--out', out), 2, /is there already/);
    expectError(
      run(['merge', out, '--out', join(folder, 'merged.ndjson')]),
      1,
      /holds the frames of a video/,
    );
  });

  it('keeps what it found before a frame that cannot be read', () => {
    const broken = join(folder, 'broken');
    mkdirSync(broken);
    copyFileSync(`${root}samples/cat.jpg`, join(broken, '1.jpg'));
    writeFileSync(join(broken, '2.jpg'), 'no picture');
    const result = detect(broken, '--format', 'ndjson');
    expectError(result, 1, /broken\/2.jpg: not a JPEG/);
    expect(linesOf(result.stdout)).toHaveLength(1);
  });

  it('leaves no file where nothing was found', () => {
    const out = join(folder, 'nothing.ndjson');
    for (const format of ['csv', 'json'])
      expectError(
        detect(frames, '--out', join(folder, `other.${format}`)),
        2,
        new RegExp(`as text or ndjson, not ${format}`),
      );
    const digits = detect(frames, '--preset', 'frugal', '--format', 'text');
    expect(digits.stdout).toMatch(/^frame 0, .* digits a neuron/);
    expectError(detect(frames, '--hold', '0.4', '--out', out), 2, /hold is 0.4/);
    expectError(detect(frames, '--start', '-1', '--out', out), 2, /start is -1/);
    expectError(detect(frames, '--start', '100', '--out', out), 1, /no frame from second 100 on/);
    expectError(detect(join(folder, 'nothere.mp4'), '--out', out), 1, /no such file/);
    expect(existsSync(out)).toBe(false);
  });

  it('refuses what means nothing', () => {
    for (const [args, message] of [
      [[frames, 'samples/cat.jpg'], /leave photos out/],
      [[frames, '--resume'], /--resume is of photos/],
      [[frames, '--shard', '1/2'], /--shard is of photos/],
      [[frames, '--workers', '2'], /--workers is of photos/],
      [[frames, '--format', 'csv'], /text or ndjson/],
      [[frames, '--dead-zone', '300'], /deadZone is 300/],
      [[frames, '--schedule', 'steps'], /layer by layer/],
      [[frames, '--ann'], /no streams/],
      [[frames, '--every', '0'], /every is 0/],
    ] as const)
      expectError(detect(...args), 2, message);
    expectError(detect(join(folder, 'nowhere.mp4')), 1, /there is no such file/);
    expectError(run(['detect', 'samples/cat.jpg', '--fps', '3']), 2, /fps is of a video: add --video/);
  });

  it('says how to get ffmpeg where it is not', () => {
    const clip = join(folder, 'clip.mp4');
    writeFileSync(clip, 'anything');
    const bin = join(folder, 'bin');
    if (!existsSync(bin)) mkdirSync(bin);
    expectError(
      run(['detect', '--model', 'tiny-yolo-lite-voc', '--video', clip], { env: { PATH: bin } }),
      1,
      /takes ffprobe, which is not on PATH .*apt-get install ffmpeg/,
    );
  });
});

describeWithProgram('ffmpeg')('detect --video, into a film', () => {
  it('draws frames into it, which has its name once it is whole', () => {
    const film = join(folder, 'found.mp4');
    expect(detect(frames, '--fps', '5', '--every', '2', '--draw', film).status).toBe(0);
    const entries = ['-show_entries', 'stream=nb_frames,avg_frame_rate', '-of', 'csv=p=0', film];
    const { stdout } = spawnSync('ffprobe', ['-v', 'error', ...entries], { encoding: 'utf8' });
    expect(stdout.trim()).toBe('5/2,3');
    expectError(detect(frames, '--draw', film), 2, /found.mp4 is there already/);
    const nowhere = join(folder, 'no', 'such', 'film.mp4');
    expectError(detect(frames, '--draw', nowhere), 1, /film.mp4: there is no folder/);
    const out = join(folder, 'no', 'found.ndjson');
    const other = join(folder, 'other.mp4');
    expectError(detect(frames, '--draw', other, '--out', out), 1, /found.ndjson: cannot write it/);
    expect(readdirSync(folder).filter((name) => name.includes('.part'))).toEqual([]);
  });
});

describe('detect --camera', () => {
  /** An ffmpeg that puts out a picture, twenty times a second. */
  const fakeFfmpeg = () => {
    const bin = mkdtempSync(join(folder, 'bin-'));
    const frame = "printf 'P6\\n2 1\\n255\\nabcdef'";
    writeFileSync(join(bin, 'ffmpeg'), `#!/bin/sh\nwhile ${frame}; do sleep 0.05; done\n`, { mode: 0o755 });
    return { ...process.env, PATH: `${bin}:${process.env.PATH}` };
  };
  const args = [
    'detect',
    '--model',
    'tiny-yolo-lite-voc',
    '--camera',
    'rtsp://camera/x',
    '--format',
    'ndjson',
  ];

  it('looks at the newest frame until its time is over', () => {
    const { stdout, status, stderr } = run([...args, '--duration', '1'], { env: fakeFfmpeg() });
    expect([status, stderr]).toEqual([0, '']);
    const records = linesOf(stdout);
    expect(records.length).toBeGreaterThan(2);
    for (const [i, { path, frame, time, dropped, changed }] of records.entries()) {
      expect([path, time < 1, changed > 0]).toEqual(['rtsp://camera/x', true, i === 0]);
      if (i > 0) expect(frame - records[i - 1].frame).toBe(dropped + 1);
    }
  });

  it('tells nobody the password in an address', () => {
    const secret = [
      ...args.slice(0, 4),
      'rtsp://user:secret@camera/x',
      '--format',
      'ndjson',
      '--duration',
      '0.3',
    ];
    const { stdout, stderr } = run(secret, { env: fakeFfmpeg() });
    expect(linesOf(stdout)[0].path).toBe('rtsp://***@camera/x');
    expect(stdout + stderr).not.toMatch(/secret/);
  });

  it('is interrupted while it waits for what a video is', async () => {
    const bin = mkdtempSync(join(folder, 'bin-'));
    writeFileSync(join(bin, 'ffprobe'), '#!/bin/sh\necho waiting >&2\nexec sleep 60\n', { mode: 0o755 });
    const clip = join(folder, 'waits.mp4');
    writeFileSync(clip, 'anything');
    const child = spawn(process.execPath, [`${root}dist/cli/main.js`, ...args.slice(0, 3), '--video', clip], {
      env: { ...process.env, PATH: `${bin}:${process.env.PATH}` },
    });
    setTimeout(() => child.kill('SIGTERM'), 2500);
    expect((await once(child, 'exit'))[0]).toBe(130);
  });

  it('keeps what it found when it is interrupted', async () => {
    const child = spawn(process.execPath, [`${root}dist/cli/main.js`, ...args], { env: fakeFfmpeg() });
    let text = '';
    child.stdout.on('data', (data) => {
      text += data;
      if (text.split('\n').length > 3) child.kill('SIGINT');
    });
    expect((await once(child, 'exit'))[0]).toBe(130);
    expect(linesOf(text).length).toBeGreaterThanOrEqual(3);
  });

  it('refuses what is no camera, and two sources', () => {
    expectError(run(['detect', '--camera', 'film.mp4']), 2, /a camera is a device/);
    expectError(run(['detect', '--camera', '/dev/no-camera']), 1, /there is no such device/);
    expectError(run(['detect', '--camera', 'rtsp://a', '--video', 'b']), 2, /two sources/);
    expectError(run([...args, '--start', '3']), 2, /a camera begins now/);
    expectError(run(['detect', '--video', 'x', '--hold', '2']), 2, /hold is 2/);
  });
});
