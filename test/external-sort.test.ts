import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';
import { groupedBy, sortedBy } from '../src/external-sort.js';

const folder = mkdtempSync(join(tmpdir(), 'sort-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Item {
  key: string;
  at: number;
}
const keyOf = ({ key }: Item) => key;

async function* streamed(keys: readonly string[]): AsyncGenerator<Item> {
  for (const [at, key] of keys.entries()) yield { key, at };
}

async function all<T>(values: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const value of values) found.push(value);
  return found;
}

describe('sorting on disk', () => {
  it('gives what a stable sort in memory gives, however little memory and however few runs at once', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: 'grapheme', maxLength: 3 }), { maxLength: 60 }),
        fc.constantFrom(1, 40, 200, 1e6),
        fc.constantFrom(2, 3, 64),
        async (keys, budget, fanIn) => {
          const sorted = keys
            .map((key, at) => ({ key, at }))
            .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.at - b.at));
          expect(await all(sortedBy(streamed(keys), keyOf, { folder, budget, fanIn }))).toEqual(sorted);
          expect(readdirSync(folder)).toEqual([]);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('leaves nothing on disk if it is given up, or if its values end in an error', async () => {
    const keys = Array.from({ length: 50 }, (_, i) => `${i}`);
    for await (const { key } of sortedBy(streamed(keys), keyOf, { folder, budget: 40 })) {
      expect(key).toBe('0');
      expect(readdirSync(folder)).toHaveLength(1);
      break;
    }
    expect(readdirSync(folder)).toEqual([]);
    async function* failing(): AsyncGenerator<Item> {
      yield* streamed(keys);
      throw new Error('torn');
    }
    await expect(all(sortedBy(failing(), keyOf, { folder, budget: 40 }))).rejects.toThrow('torn');
    expect(readdirSync(folder)).toEqual([]);
  });

  it('says where runs cannot be written', async () => {
    const keys = ['b', 'a'];
    const nowhere = join(folder, 'nowhere');
    await expect(all(sortedBy(streamed(keys), keyOf, { folder: nowhere, budget: 1 }))).rejects.toMatchObject({
      code: 'FILE',
      message: expect.stringContaining(nowhere),
    });
  });

  it('gives neighbours of one key together', async () => {
    const groups = await all(groupedBy(streamed(['a', 'a', 'b', 'a']), keyOf));
    expect(groups.map((group) => group.map(({ at }) => at))).toEqual([[0, 1], [2], [3]]);
    expect(await all(groupedBy(streamed([]), keyOf))).toEqual([]);
  });
});
