import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
// the built package, as programs import it: worker threads run compiled files
import { Detector, type DetectorResult, readPhoto, SpikingYoloError } from '../dist/index.js';
import { root } from './support/shared.js';

const cat = `${root}samples/cat.jpg`;
const astronaut = `${root}samples/astronaut.jpg`;
const LITE = { model: 'tiny-yolo-lite-voc', steps: 4, conf: 0.01 } as const;
const found = ({ elapsedMs: _, ...rest }: DetectorResult) => rest;

describe('Detector', () => {
  it('takes a path, a file’s bytes, and raw pixels of three or four channels', async () => {
    await using detector = await Detector.load(LITE);
    const expected = found(await detector.detect(cat));
    expect(found(await detector.detect(readFileSync(cat)))).toEqual(expected);
    const { width, height, rgb } = await readPhoto(cat);
    expect(found(await detector.detect({ data: rgb, width, height, channels: 3 }))).toEqual(expected);
    const rgba = new Uint8Array(width * height * 4).map((_, i) =>
      i % 4 === 3 ? 255 : rgb[Math.floor(i / 4) * 3 + (i % 4)]!,
    );
    expect(found(await detector.detect({ data: rgba, width, height, channels: 4 }))).toEqual(expected);
  });

  it('detectAll gives what detect gives, with failures among them, for any source and model', async () => {
    await using detector = await Detector.load({ ...LITE, workers: 2 });
    const { width, height, rgb: data } = await readPhoto(cat);
    const sources = [
      cat,
      'nowhere.jpg',
      readFileSync(astronaut),
      { data, width, height, channels: 3 as const },
    ];
    const results = [];
    for await (const one of detector.detectAll(sources, { ordered: true })) results.push(one);
    expect(results.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(results[1]!.error).toBeInstanceOf(SpikingYoloError);
    expect(results[1]!.error).toMatchObject({ code: 'FILE' });
    const alone = found(await detector.detect(cat));
    expect(found(results[0]!.result!)).toEqual(alone);
    expect(found(results[3]!.result!)).toEqual(alone);
    expect(found(results[2]!.result!)).toEqual(found(await detector.detect(astronaut)));
    const bytes = new Uint8Array(readFileSync(`${root}models/tiny-yolo-lite-voc.safetensors`));
    await using fromBytes = await Detector.load({ ...LITE, model: bytes, workers: 1 });
    for await (const { result } of fromBytes.detectAll([cat]))
      expect({ ...found(result!), model: '' }).toEqual({ ...alone, model: '' });
  });

  it('detectAll can be aborted, left early, and used again; a closed detector says so', async () => {
    const detector = await Detector.load({ ...LITE, steps: 400, workers: 2 });
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    const many = Array<string>(40).fill(cat);
    await expect(
      (async () => {
        for await (const _ of detector.detectAll(many, { signal: controller.signal }));
      })(),
    ).rejects.toMatchObject({ code: 'ABORTED' });
    for await (const _ of detector.detectAll(many)) break;
    let count = 0;
    for await (const { result } of detector.detectAll([cat])) count += result ? 1 : 0;
    expect(count).toBe(1);
    await detector.close();
    await expect(detector.detect(cat)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(detector.detectAll([cat]).next()).rejects.toMatchObject({ code: 'USAGE' });
    await detector.close();
  });

  it('closing ends the batches under way', async () => {
    const detector = await Detector.load({ ...LITE, steps: 400, workers: 2 });
    const batch = (async () => {
      for await (const _ of detector.detectAll(Array<string>(40).fill(cat)));
    })();
    const rejected = expect(batch).rejects.toMatchObject({ code: 'ABORTED' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    await detector.close();
    await rejected;
  });

  it('refuses wrong arguments', async () => {
    await using detector = await Detector.load(LITE);
    const wrong = (...args: unknown[]) =>
      (detector.detectAll as (...all: unknown[]) => AsyncGenerator).apply(detector, args).next();
    for (const sources of [undefined, null, 5, {}, 'path', new Uint8Array(3)])
      await expect(wrong(sources)).rejects.toMatchObject({ code: 'USAGE' });
    await expect(wrong([cat], { signal: 5 })).rejects.toMatchObject({ code: 'USAGE' });
    for (const options of [null, 5])
      await expect(Detector.load(options as never)).rejects.toMatchObject({ code: 'USAGE' });
  });

  it('refuses wrong options before anything runs', async () => {
    await expect(Detector.load({ ...LITE, workers: 0 })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(Detector.load({ ...LITE, classes: ['unicorn'] })).rejects.toMatchObject({ code: 'USAGE' });
  });
});
