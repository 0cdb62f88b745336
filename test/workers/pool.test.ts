import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { DetectorPool } from '../../src/workers/pool.js';
import { root } from '../support/shared.js';

const folder = mkdtempSync(join(tmpdir(), 'pool-'));
const pools: DetectorPool[] = [];
const unreliable = (workers: number) => {
  const pool = new DetectorPool(
    undefined,
    {},
    workers,
    pathToFileURL(`${root}test/support/unreliable-worker.mjs`).href,
  );
  pools.push(pool);
  return pool;
};
afterEach(async () => {
  for (const pool of pools.splice(0)) await pool.close();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

let marks = 0;
const once = (what: string) => ({ source: `${what}|${join(folder, `mark${marks++}`)}` });
const always = (what: string) => ({ source: what });

describe('DetectorPool', () => {
  it.each(['exit', 'throw', 'heap'])(
    'a worker that fails by %s is tried once more, and takes only its photo',
    async (what) => {
      const outcomes = [];
      const tasks = [always('a'), once(what), always('b'), always(what), always('c')];
      for await (const { task, outcome } of unreliable(2).run(tasks, { ordered: true }))
        outcomes.push([task, outcome]);
      expect(outcomes.map(([task]) => task)).toEqual(tasks);
      expect(outcomes.map(([, outcome]) => outcome)).toEqual([
        { detections: ['a'] },
        { detections: [what] },
        { detections: ['b'] },
        { error: { code: 'INTERNAL', message: expect.stringMatching(/failed twice: /) } },
        { detections: ['c'] },
      ]);
    },
    60_000,
  );

  it('takes tasks only as workers become free', async () => {
    let taken = 0;
    let given = 0;
    function* tasks() {
      for (; taken < 50; taken++) yield always(String(taken));
    }
    for await (const _ of unreliable(2).run(tasks())) {
      given++;
      // two a worker, and one that waits for its place
      expect(taken - given).toBeLessThanOrEqual(2 * 2 + 1);
    }
    expect(given).toBe(50);
  });

  it('gives outcomes while it waits for the next task', async () => {
    let release = () => {};
    async function* tasks() {
      yield always('a');
      await new Promise<void>((resolve) => {
        release = resolve;
      });
      yield always('b');
    }
    const outcomes = unreliable(1).run(tasks(), { ordered: true });
    expect((await outcomes.next()).value!.outcome).toEqual({ detections: ['a'] });
    release();
    expect((await outcomes.next()).value!.outcome).toEqual({ detections: ['b'] });
    expect((await outcomes.next()).done).toBe(true);
  });

  it('when aborted gives what is finished and throws; a caller may also just stop', async () => {
    const pool = unreliable(2);
    const controller = new AbortController();
    const seen: unknown[] = [];
    const batch = (async () => {
      const tasks = [always('a'), always('slow'), always('slow'), always('b')];
      for await (const { outcome } of pool.run(tasks, { signal: controller.signal })) {
        seen.push(outcome);
        controller.abort('enough');
      }
    })();
    await expect(batch).rejects.toMatchObject({ code: 'ABORTED', cause: 'enough' });
    expect(seen[0]).toEqual({ detections: ['a'] });
    for await (const _ of pool.run([always('a'), always('slow')])) break;
    // the workers are as good as new
    const after: unknown[] = [];
    for await (const { outcome } of pool.run([always('c')])) after.push(outcome);
    expect(after).toEqual([{ detections: ['c'] }]);
    await expect(pool.run([always('d')], { signal: AbortSignal.abort() }).next()).rejects.toMatchObject({
      code: 'ABORTED',
    });
  });

  it('throws what the source of tasks throws', async () => {
    function* tasks() {
      yield always('a');
      throw new Error('no more');
    }
    const seen: unknown[] = [];
    await expect(
      (async () => {
        for await (const { outcome } of unreliable(1).run(tasks())) seen.push(outcome);
      })(),
    ).rejects.toThrow('no more');
    expect(seen).toEqual([{ detections: ['a'] }]);
  });
});
