import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type Photo, placementOf, resizePhoto } from '../../src/image/resize.js';
import { randomNumbers } from '../support/plans.js';

const randomPhoto = (width: number, height: number, seed = 1): Photo => {
  const random = randomNumbers(seed);
  return {
    width,
    height,
    rgb: Uint8Array.from({ length: width * height * 3 }, () => Math.floor(random() * 256)),
  };
};

/** A triangle filter in floats, written from its definition (weights 1 − |distance| / support, normalised). */
function floatStretch({ width, height, rgb }: Photo, target: number): Float64Array {
  const weights = (extent: number) => {
    const support = Math.max(1, extent / target);
    return Array.from({ length: target }, (_, out) => {
      const center = ((out + 0.5) * extent) / target;
      const w = Array.from({ length: extent }, (_, i) =>
        Math.max(0, 1 - Math.abs(i + 0.5 - center) / support),
      );
      const total = w.reduce((sum, value) => sum + value, 0);
      return w.map((value) => value / total);
    });
  };
  const [columns, rows] = [weights(width), weights(height)];
  return Float64Array.from({ length: target * target * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % target, Math.floor(i / 3 / target), i % 3];
    let sum = 0;
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) {
        sum += rows[y]![row]! * columns[x]![column]! * rgb[(row * width + column) * 3 + c]!;
      }
    }
    return sum;
  });
}

describe('stretch', () => {
  it('is the antialiased triangle filter, rounded after each axis', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 40 }),
        fc.integer({ min: 1, max: 24 }),
        (w, h, target) => {
          const photo = randomPhoto(w, h, w * 41 + h);
          const exact = floatStretch(photo, target);
          resizePhoto('stretch', photo, target, target).forEach((byte, i) => {
            expect(Math.abs(byte - exact[i]!)).toBeLessThanOrEqual(1.01);
          });
        },
      ),
      { numRuns: 40 },
    );
  });

  it('leaves a photo of the right size as it is', () => {
    const photo = randomPhoto(16, 16);
    expect(resizePhoto('stretch', photo, 16, 16)).toEqual(photo.rgb);
  });
});

describe('letterbox', () => {
  it('keeps the proportions, centres, and fills with grey', () => {
    const place = placementOf('letterbox', 200, 100, 64, 64);
    expect(place).toMatchObject({ scaledWidth: 64, scaledHeight: 32, left: 0, top: 16 });
    const white = { width: 200, height: 100, rgb: new Uint8Array(200 * 100 * 3).fill(255) };
    const result = resizePhoto('letterbox', white, 64, 64);
    const rows = Array.from({ length: 64 }, (_, y) => new Set(result.subarray(y * 192, (y + 1) * 192)));
    expect(rows.map((row) => [...row])).toEqual(rows.map((_, y) => (y >= 16 && y < 48 ? [255] : [128])));
  });

  it('averages boxes first where the photo is at least twice the target, unless darknet’s is asked for', () => {
    // stripes one pixel wide: sampling alone sees one of the two colours, an average sees their mean
    const stripes = {
      width: 128,
      height: 128,
      rgb: Uint8Array.from({ length: 128 * 128 * 3 }, (_, i) => (Math.floor(i / 3) % 2) * 200),
    };
    expect(new Set(resizePhoto('letterbox', stripes, 64, 64))).toEqual(new Set([100]));
    expect(new Set(resizePhoto('letterbox:darknet', stripes, 64, 64)).size).toBeGreaterThan(2);
  });

  it('handles extreme proportions and single pixels', () => {
    for (const [w, h] of [
      [1, 1],
      [1, 500],
      [500, 1],
      [3, 2],
    ] as const) {
      for (const how of ['letterbox', 'letterbox:darknet', 'stretch'] as const) {
        expect(resizePhoto(how, randomPhoto(w, h), 32, 32)).toHaveLength(32 * 32 * 3);
      }
    }
  });
});

describe('the letterboxes that exported networks are trained with', () => {
  it.each([
    ['letterbox:114', [640, 480], [0, 40, 320, 240]],
    // of an odd gap the smaller half lies before
    ['letterbox:114', [640, 482], [0, 39, 320, 241]],
    ['letterbox:114', [300, 600], [80, 0, 160, 320]],
    // 2.5 rows: the even number, as Python rounds
    ['letterbox:114', [640, 5], [0, 159, 320, 2]],
    ['letterbox:corner', [640, 483], [0, 0, 320, 241]],
    ['letterbox:corner', [30, 60], [0, 0, 160, 320]],
    ['letterbox:corner', [640, 1], [0, 0, 320, 1]],
  ] as const)('%s puts %j at %j', (resize, [width, height], place) => {
    const { left, top, scaledWidth, scaledHeight } = placementOf(resize, width, height, 320, 320);
    expect([left, top, scaledWidth, scaledHeight]).toEqual(place);
  });

  it.each(['letterbox:114', 'letterbox:corner'] as const)('%s is filled with 114', (resize) => {
    const photo = { width: 8, height: 4, rgb: new Uint8Array(8 * 4 * 3).fill(200) };
    const pixels = resizePhoto(resize, photo, 8, 8);
    const [first, last] = resize === 'letterbox:114' ? [2, 6] : [0, 4];
    for (let y = 0; y < 8; y++)
      for (let i = 0; i < 24; i++) expect(pixels[y * 24 + i]).toBe(y >= first && y < last ? 200 : 114);
  });
});
