import { readFileSync } from 'node:fs';
import { deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { drawDetections } from '../../src/image/draw.js';
import { decodePhoto, Jimp } from '../../src/image/read-photo.js';
import { root } from '../support/shared.js';

const cat = new Uint8Array(readFileSync(`${root}samples/cat.jpg`));

/** Inserts an EXIF segment that says how the photo must be turned. */
function withOrientation(jpeg: Uint8Array, orientation: number): Uint8Array {
  const exif = [
    0xff,
    0xe1,
    0,
    34,
    0x45,
    0x78,
    0x69,
    0x66,
    0,
    0,
    0x4d,
    0x4d,
    0,
    42,
    0,
    0,
    0,
    8,
    0,
    1,
    0x01,
    0x12,
    0,
    3,
    0,
    0,
    0,
    1,
    0,
    orientation,
    0,
    0,
    0,
    0,
    0,
    0,
  ];
  return Uint8Array.from([...jpeg.subarray(0, 2), ...exif, ...jpeg.subarray(2)]);
}

/** A PNG of nothing but a header that claims a size. */
function pngHeader(width: number, height: number): Uint8Array {
  const bytes = new Uint8Array(64);
  bytes.set([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, 0, 0, 0, 13, 0x49, 0x48, 0x44, 0x52]);
  new DataView(bytes.buffer).setUint32(16, width);
  new DataView(bytes.buffer).setUint32(20, height);
  bytes.set([8, 2], 24);
  return bytes;
}

/** A PNG chunk; decoders that check its CRC are not reached. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  new DataView(bytes.buffer).setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  return bytes;
}
const header = (width: number, height: number) => chunk('IHDR', pngHeader(width, height).subarray(16, 29));
const png = (chunks: Uint8Array[]) =>
  new Uint8Array(Buffer.concat([pngHeader(1, 1).subarray(0, 8), ...chunks, chunk('IEND', new Uint8Array())]));

describe('decodePhoto', () => {
  it('reads JPEG, PNG and BMP alike', async () => {
    const photo = await decodePhoto(cat);
    expect([photo.width, photo.height, photo.rgb.length]).toEqual([451, 300, 451 * 300 * 3]);
    const image = await Jimp.read(Buffer.from(cat));
    for (const mime of ['image/png', 'image/bmp'] as const) {
      expect((await decodePhoto(new Uint8Array(await image.getBuffer(mime)))).rgb).toEqual(photo.rgb);
    }
  });

  it('turns a photo as its EXIF orientation says', async () => {
    const upright = await decodePhoto(cat);
    const turned = await decodePhoto(withOrientation(cat, 6));
    expect([turned.width, turned.height]).toEqual([300, 451]);
    // orientation 6: shown turned by 90° clockwise, so the top left corner comes to the top right
    const pixel = (photo: typeof turned, x: number, y: number) =>
      photo.rgb.subarray((y * photo.width + x) * 3, (y * photo.width + x) * 3 + 3);
    expect(pixel(turned, 299, 0)).toEqual(pixel(upright, 0, 0));
    expect(pixel(turned, 299, 450)).toEqual(pixel(upright, 450, 0));
  });

  it('refuses a JPEG cut anywhere in its second half', async () => {
    for (let length = Math.floor(cat.length / 2); length < cat.length; length += 97) {
      await expect(decodePhoto(cat.subarray(0, length))).rejects.toMatchObject({ code: 'IMAGE' });
    }
    for (const lost of [1, 2, 3, 10]) {
      await expect(decodePhoto(cat.subarray(0, cat.length - lost))).rejects.toMatchObject({ code: 'IMAGE' });
    }
  });

  it.each([
    ['nothing', new Uint8Array()],
    ['text', new TextEncoder().encode('I am not a photo, whatever my name says.')],
    ['a GIF', new Uint8Array([0x47, 0x49, 0x46, 0x38, 0x39, 0x61, 1, 0, 1, 0, 0, 0, 0])],
    ['a picture of 0×0', pngHeader(0, 0)],
    ['a picture of 20,000 pixels a side', pngHeader(20_000, 20_000)],
    ['a PNG without pixels', pngHeader(10, 10)],
    [
      'a PNG with fewer pixels than its header says',
      png([header(16, 16), chunk('IDAT', deflateSync(new Uint8Array(100)))]),
    ],
    [
      'a PNG that unpacks to more than its header says',
      png([header(1, 1), chunk('IDAT', deflateSync(new Uint8Array(1e6)))]),
    ],
    [
      'a PNG with a second, larger header',
      png([header(1, 1), header(30_000, 30_000), chunk('IDAT', deflateSync(new Uint8Array(4)))]),
    ],
  ])('refuses %s', async (_, bytes) => {
    await expect(decodePhoto(bytes)).rejects.toMatchObject({ code: 'IMAGE' });
  });
});

describe('drawDetections', () => {
  it('draws the box’s outline and leaves its inside alone', async () => {
    const photo = { width: 200, height: 160, rgb: new Uint8Array(200 * 160 * 3).fill(90) };
    const box = { x1: 40, y1: 50, x2: 150, y2: 120 };
    const drawn = await decodePhoto(
      await drawDetections(photo, [{ class: 'cat', classId: 7, score: 0.9, box }], 'png'),
    );
    const pixel = (x: number, y: number) => [...drawn.rgb.subarray((y * 200 + x) * 3, (y * 200 + x) * 3 + 3)];
    expect(pixel(41, 80)).not.toEqual([90, 90, 90]);
    expect(pixel(149, 80)).toEqual(pixel(41, 80));
    expect(pixel(100, 85)).toEqual([90, 90, 90]);
    expect(pixel(10, 10)).toEqual([90, 90, 90]);
    // letters on the label, above the box: white on the class's colour
    const label = Array.from({ length: 60 * 20 }, (_, i) =>
      pixel(40 + (i % 60), 30 + Math.floor(i / 60)).join(),
    );
    expect(new Set(label).size).toBeGreaterThan(3);
  });

  it('copes with boxes at and beyond the border', async () => {
    const photo = { width: 30, height: 20, rgb: new Uint8Array(30 * 20 * 3) };
    const box = { x1: -10, y1: -10, x2: 300, y2: 200 };
    await expect(
      drawDetections(photo, [{ class: 'a long name indeed', classId: 19, score: 1, box }], 'jpeg'),
    ).resolves.toBeDefined();
  });
});
