import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodePhoto } from '../../src/image/read-photo.js';

const u16 = (value: number) => [value & 255, (value >> 8) & 255];
const u32 = (value: number) => [...u16(value & 65535), ...u16((value >>> 16) & 65535)];

interface Bmp {
  width: number;
  /** Negative: rows from the top down. */
  height: number;
  bits: number;
  compression?: number;
  header?: number;
  masks?: number[];
  /** Blue, green, red, and a fourth byte but for OS/2. */
  palette?: number[];
  /** Bytes between the headers and the pixels. */
  gap?: number;
  /** Rows as they are stored, each padded here. */
  rows: number[][];
}

function bmp({
  width,
  height,
  bits,
  compression = 0,
  header = 40,
  masks = [],
  palette = [],
  gap = 0,
  rows,
}: Bmp) {
  const dib =
    header === 12
      ? [...u32(12), ...u16(width), ...u16(height), ...u16(1), ...u16(bits)]
      : [
          ...[...u32(header), ...u32(width), ...u32(height), ...u16(1), ...u16(bits), ...u32(compression)],
          ...[...u32(0), ...u32(0), ...u32(0), ...u32(0), ...u32(0)],
          ...(header > 40 ? [...masks.flatMap(u32), ...new Array(header).fill(0)].slice(0, header - 40) : []),
        ];
  const before = [
    ...dib,
    ...(header === 40 ? masks.flatMap(u32) : []),
    ...palette,
    ...new Array(gap).fill(0xab),
  ];
  const data = rows.flatMap((row) => [...row, ...new Array((4 - (row.length % 4)) % 4).fill(0)]);
  const start = 14 + before.length;
  return Uint8Array.from([
    0x42,
    0x4d,
    ...u32(start + data.length),
    ...u32(0),
    ...u32(start),
    ...before,
    ...data,
  ]);
}

const pixels = async (file: Bmp) => [...(await decodePhoto(bmp(file))).rgb];

// 3×2 pixels as blue, green, red, the lower row first
const stored = [
  [1, 2, 3, 4, 5, 6, 7, 8, 9],
  [11, 12, 13, 14, 15, 16, 17, 18, 19],
];
const shown = [13, 12, 11, 16, 15, 14, 19, 18, 17, 3, 2, 1, 6, 5, 4, 9, 8, 7];
const colours = { width: 3, height: 2, bits: 24, rows: stored };
const wide = { width: 1, height: 1, bits: 32, rows: [[10, 20, 30, 40]] };
const grey = (levels: number[], entry = 4) => levels.flatMap((level) => new Array(entry).fill(level));

describe('BMP', () => {
  it.each([
    ['Windows', { ...colours }],
    ['Windows 4', { ...colours, header: 108 }],
    ['Windows 5', { ...colours, header: 124 }],
    ['OS/2 1', { ...colours, header: 12 }],
    ['OS/2 2', { ...colours, header: 64 }],
    ['OS/2 2, short', { ...colours, header: 64, gap: 3 }],
    ['a gap before its pixels', { ...colours, gap: 10 }],
    ['rows from the top down', { ...colours, height: -2, rows: stored.toReversed() }],
  ])('reads 24 bits: %s', async (_, file) => {
    expect(await pixels(file)).toEqual(shown);
  });

  it('reads 4 bits of an odd width', async () => {
    const palette = grey(Array.from({ length: 16 }, (_, i) => i * 10));
    expect(await pixels({ width: 3, height: 1, bits: 4, palette, rows: [[0x1f, 0x70]] })).toEqual(
      grey([10, 150, 70], 3),
    );
  });

  it('reads 1 and 8 bits, and OS/2’s palette of three bytes', async () => {
    const mono = { width: 9, height: 1, bits: 1, rows: [[0b10000001, 0x80]] };
    const expected = grey([200, 5, 5, 5, 5, 5, 5, 200, 200], 3);
    expect(await pixels({ ...mono, palette: grey([5, 200]) })).toEqual(expected);
    expect(await pixels({ ...mono, header: 12, palette: grey([5, 200], 3) })).toEqual(expected);
    const palette = grey(Array.from({ length: 256 }, (_, i) => 255 - i));
    expect(await pixels({ width: 2, height: 1, bits: 8, palette, rows: [[0, 255]] })).toEqual(
      grey([255, 0], 3),
    );
  });

  it('reads 16 bits, 5-5-5 as is and 5-6-5 by masks, scaled as Pillow does', async () => {
    const one = { width: 1, height: 1, bits: 16 };
    const scaled = (value: number, max: number) => Math.floor((value * 255) / max);
    const five = (17 << 10) | (9 << 5) | 30;
    const expected = [scaled(17, 31), scaled(9, 31), scaled(30, 31)];
    expect(await pixels({ ...one, rows: [u16(five)] })).toEqual(expected);
    expect(await pixels({ ...one, compression: 3, masks: [0x7c00, 0x3e0, 0x1f], rows: [u16(five)] })).toEqual(
      expected,
    );
    const six = (17 << 11) | (50 << 5) | 30;
    expect(await pixels({ ...one, compression: 3, masks: [0xf800, 0x7e0, 0x1f], rows: [u16(six)] })).toEqual([
      ...[scaled(17, 31), scaled(50, 63), scaled(30, 31)],
    ]);
  });

  it('reads 32 bits, whatever the order its masks name', async () => {
    expect(await pixels(wide)).toEqual([30, 20, 10]);
    const masks = [0xff, 0xff00, 0xff0000];
    expect(await pixels({ ...wide, compression: 3, masks })).toEqual([10, 20, 30]);
    expect(await pixels({ ...wide, compression: 3, masks: [...masks, 0xff000000], header: 108 })).toEqual([
      10, 20, 30,
    ]);
  });

  it.each([
    [
      'run-length coding',
      bmp({ ...colours, bits: 8, compression: 1, palette: grey(new Array(256).fill(0)) }),
      /compressed/,
    ],
    ['2 bits a pixel', bmp({ ...colours, bits: 2 }), /2 bits/],
    ['an unknown header', bmp({ ...colours, header: 40 }).fill(41, 14, 15), /header of 41 bytes/],
    ['masks with holes', bmp({ ...wide, compression: 3, masks: [0x5, 0xff00, 0xff0000] }), /not together/],
    ['a palette that is cut', bmp({ width: 1, height: 1, bits: 8, rows: [[0]] }), /palette/],
    ['pixels that are cut', bmp(colours).subarray(0, -1), /ends early/],
  ])('refuses %s', async (_, bytes, message) => {
    await expect(decodePhoto(bytes)).rejects.toMatchObject({
      code: 'IMAGE',
      message: expect.stringMatching(message),
    });
  });

  it('meets any header with pixels or one typed error', async () => {
    const file = bmp(colours);
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 2, max: 53 }), fc.nat(255), async (at, value) => {
        const changed = Uint8Array.from(file);
        changed[at] = value;
        await decodePhoto(changed).catch((error) => expect(error).toMatchObject({ code: 'IMAGE' }));
      }),
      { numRuns: 500 },
    );
  });
});
