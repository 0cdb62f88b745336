import { meanOverClasses, type PhotoMatches, RankedClass } from './mean-average-precision.js';

/** Lower and upper end. */
export type Interval = [number, number];

/** 95 % intervals over photos. */
export interface MapIntervals {
  map11Interval: Interval;
  mapAllInterval: Interval;
}

/** A small generator of whole numbers below `n` (mulberry32), so that intervals are the same each time. */
function randomBelow(seed: number): (n: number) => number {
  let state = seed;
  return (n) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 2 ** 32) * n);
  };
}

/** The middle 95 % of values. */
export function middle(values: readonly number[]): Interval {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
  return [at(0.025), at(0.975)];
}

/** The same resamples of photos, with replacement, for everything that is to be compared. */
export class Bootstrap {
  private readonly classes: readonly string[];
  private readonly samples: Int32Array[];

  constructor(classes: readonly string[], photos: number, resamples: number) {
    const random = randomBelow(1);
    this.classes = classes;
    this.samples = Array.from({ length: resamples }, () => {
      const copies = new Int32Array(photos);
      for (let i = 0; i < photos; i++) copies[random(photos)]!++;
      return copies;
    });
  }

  /** mAP of each resample. */
  maps(photos: readonly PhotoMatches[]): { map11: number; mapAll: number }[] {
    const ranked = this.classes.map((name) => new RankedClass(name, photos));
    return this.samples.map((copies) => meanOverClasses(ranked.map((one) => one.averagePrecision(copies))));
  }
}
