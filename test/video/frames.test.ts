import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { HeldPicture } from '../../src/detection/held-picture.js';
import { drawDetections } from '../../src/image/draw.js';
import { type Frame, type FrameOptions, readFrames } from '../../src/video/frames.js';
import { PpmReader } from '../../src/video/ppm.js';
import { describeWithProgram } from '../support/programs.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'video-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const grey = (width: number, height: number, level: number) => ({
  width,
  height,
  rgb: new Uint8Array(width * height * 3).fill(level),
});
const ppm = ({ width, height, rgb }: { width: number; height: number; rgb: Uint8Array }) =>
  Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), rgb]);

describe('pictures in a stream', () => {
  it('come out whole, however the bytes are cut', () => {
    const picture = fc
      .tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 255 }))
      .map(([width, height, level]) => grey(width, height, level));
    fc.assert(
      fc.property(
        fc.array(picture, { minLength: 1, maxLength: 5 }),
        fc.integer({ min: 1, max: 40 }),
        (pictures, cut) => {
          const reader = new PpmReader();
          const bytes = Buffer.concat(pictures.map(ppm));
          const seen = [];
          for (let at = 0; at < bytes.length; at += cut)
            seen.push(...reader.push(bytes.subarray(at, at + cut)));
          expect(seen).toEqual(pictures);
          expect(reader.torn).toBe(false);
        },
      ),
    );
  });

  it.each([
    ['something else', 'hello', /no picture/],
    ['an endless header', `P6\n${' '.repeat(100)}`, /no picture/],
    ['too large a picture', 'P6\n20000 20000\n255\n', /20000×20000/],
    ['another depth', `P6\n2 2\n65535\n${'x'.repeat(100)}`, /no picture/],
  ])('are refused: %s', (_, text, message) => {
    expect(() => [...new PpmReader().push(Buffer.from(text))]).toThrow(message);
  });
});

describe('the picture held', () => {
  it('never differs from a frame by more than the dead zone, and changes where it would', () => {
    const frames = fc.array(fc.uint8Array({ minLength: 12, maxLength: 12 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(frames, fc.integer({ min: 0, max: 255 }), (sequence, deadZone) => {
        const picture = new HeldPicture(3, deadZone);
        let before: Uint8Array | undefined;
        for (const frame of sequence) {
          const changed = picture.update(frame);
          const held = picture.pixels!;
          let expected = 0;
          for (let cell = 0; cell < 4; cell++) {
            const at = [0, 1, 2].map((c) => 3 * cell + c);
            const moved = !before || at.some((i) => Math.abs(frame[i]! - before![i]!) > deadZone);
            if (moved) expected++;
            for (const i of at) expect(held[i]).toBe(moved ? frame[i] : before![i]);
          }
          expect(changed).toBe(expected);
          before = held.slice();
        }
      }),
    );
  });
});

async function framesOf(source: string, options: FrameOptions = {}): Promise<Frame[]> {
  const frames: Frame[] = [];
  for await (const frame of readFrames(source, options)) frames.push(frame);
  return frames;
}

describe('numbered pictures', () => {
  let pictures: string;
  beforeAll(async () => {
    pictures = join(folder, 'numbered');
    mkdirSync(pictures);
    for (let i = 1; i <= 12; i++)
      writeFileSync(join(pictures, `f${i}.png`), await drawDetections(grey(i, 4, 10 * i), [], 'png'));
    writeFileSync(join(pictures, 'other.png'), await drawDetections(grey(99, 4, 0), [], 'png'));
  });

  it('of a pattern come in the order of their numbers, with their times', async () => {
    const frames = await framesOf(join(pictures, 'f%d.png'), { fps: 4 });
    expect(frames.map(({ photo }) => photo.width)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    expect(frames.map(({ frame }) => frame)).toEqual(frames.map((_, i) => i));
    expect(frames.at(-1)!.time).toBe(11 / 4);
    expect(frames[4]!.photo.rgb[0]).toBe(50);
  });

  it('of a folder come in natural order, all of them', async () => {
    expect((await framesOf(pictures)).map(({ photo }) => photo.width)).toEqual([
      1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 99,
    ]);
  });

  it('are chosen by every, start and duration', async () => {
    const frames = await framesOf(join(pictures, 'f%d.png'), { fps: 4, every: 2, start: 1, duration: 1.5 });
    expect(frames.map(({ frame }) => frame)).toEqual([4, 6, 8]);
  });

  it('end with one error where one is missing or damaged', async () => {
    await expect(framesOf(join(pictures, 'g%d.png'))).rejects.toThrow(/no pictures of frames/);
    await expect(framesOf(join(folder, 'nowhere.mp4'))).rejects.toThrow(/no such file/);
    const damaged = join(folder, 'damaged');
    mkdirSync(damaged);
    writeFileSync(join(damaged, '1.png'), 'no picture');
    await expect(framesOf(damaged)).rejects.toMatchObject({ code: 'IMAGE' });
    for (const options of [{ fps: 0 }, { every: 1.5 }, { start: -1 }, { duration: 0 }])
      await expect(framesOf(pictures, options)).rejects.toMatchObject({ code: 'USAGE' });
    const controller = new AbortController();
    controller.abort();
    await expect(framesOf(pictures, { signal: controller.signal })).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });
});

describeWithProgram('ffmpeg')('a video file', () => {
  let video: string;
  beforeAll(() => {
    video = join(folder, 'test.mp4');
    const source = ['-f', 'lavfi', '-i', 'testsrc=size=64x48:rate=10:duration=2'];
    const { status } = spawnSync('ffmpeg', ['-loglevel', 'error', ...source, '-pix_fmt', 'yuv420p', video]);
    expect(status).toBe(0);
  });

  it('gives every frame at its own rate, or at another', async () => {
    const frames = await framesOf(video);
    expect(frames).toHaveLength(20);
    expect(frames[3]).toMatchObject({ frame: 3, time: 0.3, photo: { width: 64, height: 48 } });
    expect(await framesOf(video, { fps: 5 })).toHaveLength(10);
    expect((await framesOf(video, { every: 4, start: 1, duration: 0.8 })).map(({ time }) => time)).toEqual([
      1, 1.4,
    ]);
  });

  it('ends when the reader goes away, and with one error if it is damaged', async () => {
    for await (const { frame } of readFrames(video)) if (frame === 2) break;
    const damaged = join(folder, 'damaged.mp4');
    writeFileSync(damaged, Buffer.alloc(5000, 7));
    await expect(framesOf(damaged)).rejects.toMatchObject({ code: 'FILE' });
    const controller = new AbortController();
    await expect(async () => {
      for await (const { frame } of readFrames(video, { signal: controller.signal }))
        if (frame === 1) controller.abort();
    }).rejects.toMatchObject({ code: 'ABORTED' });
  });
});
