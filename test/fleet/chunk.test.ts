import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type Chunk,
  checkChunk,
  checkId,
  checkPlan,
  idOf,
  nameOf,
  planOf,
  travelling,
} from '../../src/fleet/chunk.js';
import { Turns } from '../../src/fleet/turns.js';

const plan = planOf({ name: 'm', bytes: Uint8Array.of(1) }, { steps: 4 }, { steps: 4 });
const chunk = (photos: string[], folder = '/srv', more: Partial<Chunk> = {}): Chunk => ({
  plan,
  folder,
  photos,
  ...more,
});

describe('a chunk', () => {
  it('is the same job for the same photos in the same order under the same plan, from wherever they are named', () => {
    const id = idOf(chunk(['a.jpg', 'https://x/b.jpg']));
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(idOf(chunk(['srv/a.jpg', 'https://x/b.jpg'], '/'))).toBe(id);
    expect(idOf(chunk(['/srv/a.jpg', 'https://x/b.jpg'], '/home'))).toBe(id);
    const others = [
      chunk(['https://x/b.jpg', 'a.jpg']),
      chunk(['a.jpg']),
      chunk(['a.jpg', 'https://x/B.jpg']),
      chunk(['a.jpg', 'https://x/b.jpg'], '/other'),
      chunk(['a.jpg', 'https://x/b.jpg'], '/srv', { plan: { ...plan, options: { steps: 5 } } }),
      chunk(['a.jpg', 'https://x/b.jpg'], '/srv', { plan: { ...plan, model: { name: 'm', sha256: 'x' } } }),
    ];
    expect(new Set([id, ...others.map(idOf)]).size).toBe(7);
    // a password is no part of a photo
    expect(idOf(chunk(['a.jpg', 'https://me:secret@x/b.jpg']))).toBe(id);
    for (const photo of ['https://me:se cret@x/b.jpg', 'https:///me:secret@x/b.jpg', 'HTTPS://me@x/b.jpg'])
      expect(nameOf(photo)).toBe('https://x/b.jpg');
    expect(nameOf('/srv/https://me:x@y')).toBe('/srv/https://me:x@y');
    // no way of cutting a list looks like another list
    fc.assert(
      fc.property(fc.array(fc.string(), { minLength: 1, maxLength: 4 }), (photos) => {
        const joined = [photos.join(','), photos.join('","')];
        for (const other of joined)
          if (photos.length > 1) expect(idOf(chunk(photos, '/'))).not.toBe(idOf(chunk([other], '/')));
      }),
    );
  });

  it('comes through a queue as it was; nothing of the machine travels', () => {
    const sent = JSON.parse(JSON.stringify(chunk(['a.jpg'])));
    expect(checkChunk(sent)).toEqual(chunk(['a.jpg']));
    expect(idOf(checkChunk(sent))).toBe(idOf(chunk(['a.jpg'])));
    const machine = {
      threads: 2,
      workers: 3,
      backend: 'wasm',
      isa: 'x',
      maxPixels: 9,
      model: '/etc/passwd',
    } as const;
    expect(travelling({ ...machine, steps: 3, conf: 0.1 })).toEqual({ steps: 3, conf: 0.1 });
    expect(checkPlan({ ...plan, options: { ...plan.options, ...machine } })).toEqual(plan);
  });

  it('of another version, or of another program, is refused', () => {
    expect(() => checkPlan({ ...plan, version: 2 })).toThrow(
      /another version of spiking-yolo \(its form is 2/,
    );
    const foreign: unknown[] = [
      ...[undefined, null, 1, 'x', [], {}, { plan }, { plan, folder: '/', photos: [] }],
      { ...chunk(['a']), folder: 1 },
      { ...chunk(['a']), photos: ['a', 1] },
      { ...chunk(['a']), photos: 'a' },
      { ...chunk(['a']), photos: new Array(1001).fill('a') },
      { ...chunk(['a']), plan: { ...plan, model: { name: 'm' } } },
      { ...chunk(['a']), plan: { ...plan, options: [] } },
      { ...chunk(['a']), plan: { ...plan, recorded: null } },
      { ...chunk(['a']), plan: null },
    ];
    for (const value of foreign)
      expect(() => checkChunk(value), JSON.stringify(value)?.slice(0, 80)).toThrow(/not of spiking-yolo/);
  });
});

describe('a job’s id', () => {
  it('is its chunk’s, or another try’s; nothing else names a file', () => {
    const some = chunk(['a.jpg']);
    const id = idOf(some);
    expect(() => checkId(id, some)).not.toThrow();
    expect(() => checkId(`${id}-0123abcd`, some)).not.toThrow();
    const others = [
      undefined,
      '',
      '1',
      idOf(chunk(['b.jpg'])),
      `../${id}`,
      `${id}-`,
      `${id}-../../x`,
      `${id}-0123abcd-1`,
    ];
    for (const other of others) expect(() => checkId(other, some), other).toThrow(/not of spiking-yolo/);
  });
});

describe('turns', () => {
  it('let what may overlap overlap, and nothing else, in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.tuple(fc.boolean(), fc.boolean()), { maxLength: 12 }), async (works) => {
        const turns = new Turns();
        const running = new Set<number>();
        const begun: number[] = [];
        let overlaps = 0;
        const results = works.map(([alone, fails], i) =>
          turns.take(alone, async () => {
            begun.push(i);
            if (alone) expect(running.size).toBe(0);
            for (const other of running) expect(works[other]![0]).toBe(false);
            running.add(i);
            overlaps = Math.max(overlaps, running.size);
            await new Promise((resolve) => setImmediate(resolve));
            running.delete(i);
            if (fails) throw new Error(`${i}`);
            return i;
          }),
        );
        const settled = await Promise.allSettled(results);
        expect(settled.map(({ status }) => status === 'rejected')).toEqual(works.map(([, fails]) => fails));
        expect(begun).toEqual(works.map((_, i) => i));
        if (works.length > 1 && works.every(([alone]) => !alone)) expect(overlaps).toBe(works.length);
      }),
    );
  });
});
