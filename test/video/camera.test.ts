import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { type CameraFrame, type CameraOptions, readCamera } from '../../src/video/camera.js';

const URL = 'rtsp://camera/stream';
let folder: string;
const path = process.env.PATH;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'camera-'));
  process.env.PATH = `${folder}:${path}`;
});
afterEach(() => {
  process.env.PATH = path;
  rmSync(folder, { recursive: true, force: true });
});

/** An ffmpeg that runs these commands of a shell; `frame` puts out a picture. */
function fakeFfmpeg(commands: string): void {
  const program = join(folder, 'ffmpeg');
  writeFileSync(
    program,
    `#!/bin/sh\nframe() { printf 'P6\\n1 1\\n255\\nabc'; }\ncd ${folder}\n${commands}\n`,
  );
  chmodSync(program, 0o755);
}

async function take(count: number, options: CameraOptions = {}, ms = 0): Promise<CameraFrame[]> {
  const frames: CameraFrame[] = [];
  for await (const frame of readCamera(URL, options)) {
    frames.push(frame);
    if (frames.length === count) break;
    await sleep(ms);
  }
  return frames;
}

describe('a camera', () => {
  it('gives the newest frame; those for which nobody had time are dropped and counted', async () => {
    fakeFfmpeg('while :; do frame; sleep 0.02; done');
    const frames = await take(5, {}, 150);
    expect(frames[0]).toMatchObject({ frame: 0, time: 0, dropped: 0, photo: { width: 1, height: 1 } });
    for (const [i, { frame, dropped }] of frames.entries())
      if (i > 0) expect(frame - frames[i - 1]!.frame).toBe(dropped + 1);
    expect(frames.at(-1)!.frame).toBeGreaterThan(8);
  });

  it('is tried again, after a pause, when it has gone away', async () => {
    fakeFfmpeg('frame; sleep 0.1; echo "rtsp: gone" >&2; exit 1');
    const lost: [string, number][] = [];
    const frames = await take(3, { onLost: ({ message }, pause) => lost.push([message, pause]) });
    expect(frames.map(({ frame }) => frame)).toEqual([0, 1, 2]);
    // a camera that had come back is tried again as soon as at first
    const gone = [expect.stringMatching(/^rtsp:\/\/camera\/stream: .*gone \(after 1 frames\)/), 1000];
    expect(lost).toEqual([gone, gone]);
  });

  it('is an error if it never brings a frame, or is none', async () => {
    fakeFfmpeg('echo "Connection refused" >&2; exit 1');
    await expect(take(1)).rejects.toMatchObject({
      code: 'FILE',
      message: expect.stringContaining('Connection refused'),
    });
    await expect(readCamera('/dev/no-camera').next()).rejects.toMatchObject({ code: 'FILE' });
    await expect(readCamera('film.mp4').next()).rejects.toMatchObject({ code: 'USAGE' });
    process.env.PATH = folder;
    rmSync(join(folder, 'ffmpeg'));
    await expect(take(1)).rejects.toThrow(/apt-get install ffmpeg/);
  });

  it('ends with the signal, also while it waits, and after its time', async () => {
    fakeFfmpeg('frame; sleep 0.2; exit 1');
    const controller = new AbortController();
    const ended = take(2, {
      signal: controller.signal,
      onLost: () => setTimeout(() => controller.abort(), 50),
    });
    await expect(ended).rejects.toMatchObject({ code: 'ABORTED' });
    fakeFfmpeg('while :; do frame; sleep 0.05; done');
    const frames = await take(1000, { duration: 0.4, every: 2 });
    expect(frames.length).toBeGreaterThan(1);
    for (const { frame, time } of frames) expect([frame % 2, time < 0.4]).toEqual([0, true]);
  });
});
