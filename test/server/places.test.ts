import { describe, expect, it } from 'vitest';
import { serverOptions } from '../../src/server/options.js';
import { Places } from '../../src/server/places.js';

const never = new AbortController().signal;

describe('places', () => {
  it('are taken, waited for in turn, and refused beyond', async () => {
    const places = new Places(1, 2);
    const order: number[] = [];
    const first = await places.take(never);
    const waiting = [1, 2].map(async (i) => {
      const free = await places.take(never);
      order.push(i);
      free!();
    });
    expect([places.running, places.waiting]).toEqual([1, 2]);
    expect(await places.take(never)).toBeUndefined();
    first!();
    first!();
    await Promise.all(waiting);
    expect(order).toEqual([1, 2]);
    expect([places.running, places.waiting]).toEqual([0, 0]);
    const again = [await places.take(never)];
    expect(places.running).toBe(1);
    again[0]!();
    expect(places.running).toBe(0);
  });

  it('of someone who goes away while waiting are free at once', async () => {
    const places = new Places(1, 1);
    const free = await places.take(never);
    const gone = new AbortController();
    const waiting = places.take(gone.signal);
    expect(places.waiting).toBe(1);
    gone.abort();
    expect(await waiting).toBeUndefined();
    expect([places.running, places.waiting]).toEqual([1, 0]);
    expect(await places.take(gone.signal)).toBeUndefined();
    const next = places.take(never);
    free!();
    expect(await next).toBeDefined();
  });
});

describe('options of a server', () => {
  it.each([
    [{ maxQueue: -1 }, /maxQueue is -1/],
    [{ maxBytes: 0 }, /maxBytes is 0/],
    [{ conf: 0.01 }, /conf is 0.01/],
    [{ apiKey: 'short' }, /at least 8 characters/],
    [{ cors: '*' }, /expected one origin/],
    [{ cors: 'https://example.org/page' }, /expected one origin/],
    [{ graceMs: 1.5 }, /graceMs is 1.5/],
  ])('%j are refused', (given, message) => {
    expect(() => serverOptions(given)).toThrow(message);
  });
});
