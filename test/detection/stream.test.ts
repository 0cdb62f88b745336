import { afterAll, describe, expect, it } from 'vitest';
import type { StreamOptions } from '../../src/detection/stream.js';
import { Detector, readPhoto } from '../../src/detector.js';
import { root } from '../support/shared.js';

const model = 'tiny-yolo-lite-voc';

describe('a stream', async () => {
  const detector = await Detector.load({ model, checksum: true });
  afterAll(() => detector.close());
  const cat = await readPhoto(`${root}samples/cat.jpg`);
  const noisy = (amount: number) => ({
    width: cat.width,
    height: cat.height,
    channels: 3 as const,
    data: cat.rgb.map((level, i) => Math.min(255, level + ((i * 7919) % (amount + 1)))),
  });

  it('finds in each frame what a fresh run finds on the picture held at h = ½, and nothing costs nothing', async () => {
    const stream = detector.stream({ hold: 0.5, deadZone: 10 });
    const fresh = await detector.detect(noisy(0));
    const first = await stream.next(noisy(0));
    const { spikes, sops, spikeChecksum, detections } = fresh;
    expect(first).toMatchObject({ frame: 0, spikes, sops, spikeChecksum, detections });
    expect(first.changed).toBeGreaterThan(0.9);
    expect(await stream.next(noisy(6))).toMatchObject({
      ...{ frame: 1, changed: 0, spikes: 0, sops: 0 },
      ...{ spikeChecksum, detections },
    });
    const moved = await stream.next(noisy(200));
    expect(moved.changed).toBeGreaterThan(0.1);
    expect(moved.spikes).toBeGreaterThan(0);
    expect(moved.spikeChecksum).not.toBe(spikeChecksum);
    await stream.reset();
    expect(await stream.next(noisy(0))).toMatchObject({ frame: 0, spikes, spikeChecksum });
    await stream.close();
  });

  it('sends less the more a neuron may be off, and finds about the same', async () => {
    const spikes: number[] = [];
    for (const hold of [0.5, 0.75, 1]) {
      const stream = detector.stream({ hold });
      await stream.next(noisy(0));
      const { detections, spikesPerNeuron = 0, changed } = await stream.next(noisy(3));
      expect(detections[0]).toMatchObject({ class: 'cat' });
      expect(changed).toBeLessThan(1);
      spikes.push(spikesPerNeuron);
      await stream.close();
    }
    expect(spikes[0]!).toBeGreaterThan(spikes[1]!);
    expect(spikes[1]!).toBeGreaterThan(spikes[2]!);
    expect(spikes[2]!).toBeGreaterThan(0);
    expect(spikes[2]!).toBeLessThan((await detector.detect(noisy(3))).spikesPerNeuron! / 10);
  });

  it('equals a fresh run on every frame at h = ½ without a dead zone, by any coding', async () => {
    const phase = await Detector.load({ model, checksum: true, coding: 'phase' });
    const [byCount, byDigits] = [detector, phase].map((each) => each.stream({ hold: 0.5 }));
    let sent = 0;
    for (const amount of [0, 3, 3, 0]) {
      const fresh = await detector.detect(noisy(amount));
      const { spikeChecksum, detections } = fresh;
      const counted = await byCount!.next(noisy(amount));
      const digits = await byDigits!.next(noisy(amount));
      expect(counted).toMatchObject({ spikeChecksum, detections });
      expect(digits).toMatchObject({ spikeChecksum, detections, changed: counted.changed });
      expect(digits.spikes!).toBeLessThanOrEqual(counted.spikes!);
      sent += counted.spikes! - digits.spikes!;
    }
    expect(sent).toBeGreaterThan(0);
    await phase.close();
  });

  it('ends loops that wait for frames when it is closed', async () => {
    const stream = detector.stream();
    async function* frames() {
      yield noisy(0);
      await new Promise(() => {});
    }
    const loop = stream.frames(frames());
    expect((await loop.next()).value).toMatchObject({ frame: 0 });
    const waiting = loop.next();
    await stream.close();
    await expect(waiting).rejects.toMatchObject({ code: 'USAGE', message: 'this stream is closed' });
    await expect(stream.frames([noisy(0)]).next()).rejects.toThrow('this stream is closed');
    await expect(
      detector
        .stream()
        .frames([], { signal: 5 as never })
        .next(),
    ).rejects.toThrow('AbortSignal');
    expect(() => detector.stream({ changeMap: 'yes' as never })).toThrow('changeMap is yes');
  });

  it('begins anew with a frame of another size', async () => {
    const stream = detector.stream({ deadZone: 255 });
    await stream.next(noisy(0));
    const other = `${root}samples/astronaut.jpg`;
    const { spikeChecksum } = await detector.detect(other);
    expect(await stream.next(other)).toMatchObject({ spikeChecksum });
  });

  it('looks at frames in the order of the calls, and goes on behind one that cannot be read', async () => {
    const stream = detector.stream({ hold: 0.5 });
    const results = await Promise.allSettled([
      stream.next(noisy(0)),
      stream.next(Uint8Array.of(1, 2, 3)),
      stream.next(noisy(5)),
    ]);
    expect(results.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled']);
    expect((results[2] as PromiseFulfilledResult<{ frame: number }>).value.frame).toBe(1);
  });

  it('takes frames from anywhere, no faster than it is told to, until the signal', async () => {
    const framesOf = async function* () {
      for (let frame = 0; frame < 20; frame++) yield { frame, time: frame / 10, photo: cat };
    };
    const seen: number[] = [];
    for await (const { frame, time } of detector.stream({ fps: 4 }).frames(framesOf())) {
      expect(time).toBe(frame / 10);
      seen.push(frame);
    }
    expect(seen).toEqual([0, 3, 5, 8, 10, 13, 15, 18]);
    const controller = new AbortController();
    await expect(async () => {
      const pictures = [noisy(0), noisy(1), noisy(2)];
      for await (const { frame } of detector.stream().frames(pictures, { signal: controller.signal }))
        if (frame === 1) controller.abort();
    }).rejects.toMatchObject({ code: 'ABORTED' });
    const never = async function* () {
      yield noisy(0);
      await new Promise(() => {});
    };
    const waiting = new AbortController();
    await expect(async () => {
      for await (const _ of detector.stream().frames(never(), { signal: waiting.signal }))
        setTimeout(() => waiting.abort(), 50);
    }).rejects.toMatchObject({ code: 'ABORTED' });
  });

  it('is refused what it cannot do', async () => {
    const refused: [StreamOptions, RegExp][] = [
      [{ deadZone: 0.5 }, /deadZone is 0.5/],
      [{ hold: 0.3 }, /hold is 0.3/],
      [{ hold: 0.7 }, /multiple of 1\/256/],
      [{ fps: 0 }, /fps is 0/],
    ];
    for (const [options, message] of refused) expect(() => detector.stream(options)).toThrow(message);
    for (const options of [null, { hold: '1' }, { fps: '5' }])
      expect(() => detector.stream(options as never)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    for (const frames of [undefined, 5, [null], [{ photo: null }]])
      await expect(
        detector
          .stream()
          .frames(frames as never)
          .next(),
      ).rejects.toMatchObject({ code: 'USAGE' });
    const stepwise = await Detector.load({ model, schedule: 'steps' });
    expect(() => stepwise.stream()).toThrow(/layer by layer/);
    const stream = detector.stream();
    await stream.close();
    await expect(stream.next(noisy(0))).rejects.toThrow(/this stream is closed/);
    await stepwise.close();
    expect(() => stepwise.stream()).toThrow(/is closed/);
    const float = await Detector.load({ model, ann: true });
    expect(() => float.stream()).toThrow(/no streams/);
    await float.close();
  });

  it('runs beside others, each in a thread of its own', async () => {
    const { Detector: Built } = await import(`${root}dist/index.js`);
    const built: Detector = await Built.load({ model, checksum: true });
    const streams = [1, 2, 3].map(() => built.stream({ worker: true, hold: 0.5 }));
    const [one, two] = [await detector.detect(noisy(0)), await detector.detect(noisy(9))];
    for (const fresh of [one, two]) {
      const amount = fresh === one ? 0 : 9;
      const found = await Promise.all(streams.map((stream) => stream.next(noisy(amount))));
      for (const { spikeChecksum } of found) expect(spikeChecksum).toBe(fresh.spikeChecksum);
    }
    await streams[0]!.reset();
    expect((await streams[0]!.next(noisy(0))).frame).toBe(0);
    await expect(streams[1]!.next('no-such-file.jpg')).rejects.toMatchObject({ code: 'FILE' });
    for (const picture of [Symbol(), () => 1, { width: 3 }])
      await expect(streams[1]!.next(picture as never)).rejects.toMatchObject({ code: 'USAGE' });
    await built.close();
    await expect(streams[2]!.next(noisy(0))).rejects.toThrow(/closed/);
  });
});
