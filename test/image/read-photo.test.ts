import { readFileSync } from 'node:fs';
import { crc32, deflateSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { sha256 } from '../../src/files.js';
import { drawDetections } from '../../src/image/draw.js';
import { exifOrientation } from '../../src/image/exif.js';
import { decodePhoto } from '../../src/image/read-photo.js';
import { root } from '../support/shared.js';

const cat = new Uint8Array(readFileSync(`${root}samples/cat.jpg`));

/** One entry of a TIFF directory: tag, type, count, value or pointer; big-endian. */
const entry = (tag: number, type: number, count: number, value: number[]) => [
  ...[tag >> 8, tag & 255, type >> 8, type & 255, 0, 0, count >> 8, count & 255],
  ...[...value, 0, 0, 0, 0].slice(0, 4),
];
const orientationEntry = (orientation: number) => entry(0x0112, 3, 1, [0, orientation]);

/** An EXIF block of one directory, or two: the second is the thumbnail's. */
function exif(entries: number[][], thumbnail: number[][] = []): Uint8Array {
  const next = thumbnail.length > 0 ? 8 + 2 + 12 * entries.length + 4 : 0;
  const directory = (list: number[][], after: number) => [
    0,
    list.length,
    ...list.flat(),
    0,
    0,
    after >> 8,
    after & 255,
  ];
  return Uint8Array.from([
    ...[0x4d, 0x4d, 0, 42, 0, 0, 0, 8],
    ...directory(entries, next),
    ...(next > 0 ? directory(thumbnail, 0) : []),
  ]);
}

/** A JPEG with an EXIF segment put in front. */
function withExif(jpeg: Uint8Array, tiff: Uint8Array): Uint8Array {
  const length = 2 + 6 + tiff.length;
  const segment = [0xff, 0xe1, length >> 8, length & 255, ...new TextEncoder().encode('Exif\0\0'), ...tiff];
  return Uint8Array.from([...jpeg.subarray(0, 2), ...segment, ...jpeg.subarray(2)]);
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

/** A PNG chunk. */
function chunk(type: string, data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(type), 4);
  bytes.set(data, 8);
  view.setUint32(8 + data.length, crc32(bytes.subarray(4, 8 + data.length)));
  return bytes;
}
const header = (width: number, height: number) => chunk('IHDR', pngHeader(width, height).subarray(16, 29));
const png = (chunks: Uint8Array[]) =>
  new Uint8Array(Buffer.concat([pngHeader(1, 1).subarray(0, 8), ...chunks, chunk('IEND', new Uint8Array())]));

/** The first pixels of each row of a tiny photo: as many grey levels as it has pixels, so that each names its place. */
const places = ({ rgb }: { rgb: Uint8Array }) => [...rgb].filter((_, i) => i % 3 === 0);

/** A grey PNG of 3×2 whose pixels are 0 to 5, with further chunks. */
const numbered = (...chunks: Uint8Array[]) =>
  png([
    chunk('IHDR', Uint8Array.from([0, 0, 0, 3, 0, 0, 0, 2, 8, 0, 0, 0, 0])),
    ...chunks,
    chunk('IDAT', deflateSync(Uint8Array.from([0, 0, 1, 2, 0, 3, 4, 5]))),
  ]);

const caseFile = (path: string) => new Uint8Array(readFileSync(`${root}test/cases/${path}`));
const pixelsSha = async (path: string) => sha256((await decodePhoto(caseFile(path))).rgb).slice(0, 16);

describe('decodePhoto', () => {
  it('reads PNG as JPEG', async () => {
    const photo = await decodePhoto(cat);
    expect([photo.width, photo.height, photo.rgb.length]).toEqual([451, 300, 451 * 300 * 3]);
    const drawn = await drawDetections(photo, [], 'png');
    expect((await decodePhoto(drawn)).rgb).toEqual(photo.rgb);
  });

  // the pixels that djpeg (libjpeg-turbo 2.1.5) writes
  it.each([
    ['components that are red, green and blue', 'jpeg-rgb-not-ycc/small-rgb.jpg', '58c3f1bdfdb237f7'],
    ['the same by their names alone', 'jpeg-rgb-not-ycc/small-rgb-noadobe.jpg', '58c3f1bdfdb237f7'],
    ['a restart interval in grey', 'jpeg-restart-interval/grey-dri3.jpg', '61f5907ba9d12efe'],
    [
      'a restart interval in progressive scans',
      'jpeg-restart-interval/progressive-dri3.jpg',
      'b56721965a7adc6f',
    ],
    ['one of two rows', 'jpeg-restart-interval/progressive-420-dri2rows.jpg', '36967048cf23370e'],
    ['the frame header first', 'jpeg-header-variants/sof-first.jpg', 'b56721965a7adc6f'],
    ['fill bytes before a segment', 'jpeg-header-variants/fill-sof.jpg', 'b56721965a7adc6f'],
    ['fill bytes before a restart marker', 'jpeg-header-variants/fill-rst.jpg', '36967048cf23370e'],
    ['arithmetic coding', 'jpeg-header-variants/arith.jpg', '36967048cf23370e'],
    ['progressive arithmetic coding', 'jpeg-header-variants/arith-progressive.jpg', '36967048cf23370e'],
  ])('reads a JPEG with %s', async (_, path, expected) => {
    expect(await pixelsSha(path)).toBe(expected);
  });

  it.each([
    ['12 bits a sample', 'jpeg-12-bit/grey12.jpg', /12 bits a sample.*not supported/],
    ['CMYK without a marker', 'jpeg-header-variants/cmyk-noadobe.jpg', /CMYK.*not supported/],
  ])('says that a JPEG of %s is not supported', async (_, path, message) => {
    await expect(decodePhoto(caseFile(path))).rejects.toMatchObject({
      code: 'IMAGE',
      message: expect.stringMatching(message),
    });
  });

  it('takes CMYK of Adobe’s by jimp’s decoder, and says so', async () => {
    const bytes = caseFile('jpeg-header-variants/cmyk-noadobe.jpg');
    const adobe = [0xff, 0xee, 0, 14, ...new TextEncoder().encode('Adobe'), 0, 100, 0, 0, 0, 0, 0];
    const marked = Uint8Array.from([...bytes.subarray(0, 2), ...adobe, ...bytes.subarray(2)]);
    expect(await decodePhoto(marked)).toMatchObject({ width: 160, height: 112, decoder: 'jpeg-js' });
  });

  it('refuses a JPEG of more scans than a photo has', async () => {
    const progressive = caseFile('jpeg-restart-interval/progressive-dri3.jpg');
    const end = progressive.length - 2;
    const scan = [0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0];
    const scans = Array.from({ length: 600 }, () => scan).flat();
    const bomb = Uint8Array.from([...progressive.subarray(0, end), ...scans, ...progressive.subarray(end)]);
    await expect(decodePhoto(bomb)).rejects.toMatchObject({ code: 'IMAGE', message: /more than 500 scans/ });
  });

  it('reads the next photo after a damaged or a large one', async () => {
    const damaged = Uint8Array.from(cat).fill(255, 5000, 5200);
    const large = await drawDetections(
      { width: 6000, height: 4000, rgb: new Uint8Array(72e6).fill(90) },
      [],
      'jpeg',
    );
    for (let again = 0; again < 2; again++) {
      await expect(decodePhoto(damaged)).rejects.toMatchObject({ code: 'IMAGE', message: /damaged/ });
      expect(await decodePhoto(cat)).toMatchObject({ width: 451 });
      expect(await decodePhoto(large)).toMatchObject({ width: 6000 });
      expect(await decodePhoto(cat)).toMatchObject({ width: 451 });
    }
  });

  it('refuses a CMYK photo that its decoder has no memory for, by its header', async () => {
    const bytes = caseFile('jpeg-header-variants/cmyk-noadobe.jpg');
    const adobe = [0xff, 0xee, 0, 14, ...new TextEncoder().encode('Adobe'), 0, 100, 0, 0, 0, 0, 0];
    const frame = bytes.findIndex((byte, i) => byte === 0xff && bytes[i + 1] === 0xc0);
    bytes.set([0x20, 0, 0x20, 0], frame + 5);
    const marked = Uint8Array.from([...bytes.subarray(0, 2), ...adobe, ...bytes.subarray(2)]);
    await expect(decodePhoto(marked)).rejects.toMatchObject({
      code: 'IMAGE',
      message: /in CMYK at most 24 megapixels/,
    });
  });

  it('keeps the colour that stands for transparency in a PNG', async () => {
    const rgb = chunk('IHDR', Uint8Array.from([0, 0, 0, 2, 0, 0, 0, 1, 8, 2, 0, 0, 0]));
    const key = chunk('tRNS', Uint8Array.from([0, 255, 0, 255, 0, 255]));
    const data = chunk('IDAT', deflateSync(Uint8Array.from([0, 255, 255, 255, 1, 2, 3])));
    expect([...(await decodePhoto(png([rgb, key, data]))).rgb]).toEqual([255, 255, 255, 1, 2, 3]);
  });

  it('reads a PNG with bytes after its end, and an animated one’s first picture', async () => {
    const whole = await decodePhoto(caseFile('jpeg-rgb-not-ycc/small-truth.png'));
    expect((await decodePhoto(caseFile('png-trailing-and-animated/trailing.png'))).rgb).toEqual(whole.rgb);
    expect(await decodePhoto(caseFile('png-trailing-and-animated/apng.png'))).toMatchObject({
      width: 64,
      height: 48,
    });
  });

  it('reads WebP: lossless as it was, lossy nearly, without its transparency, an animation’s first picture', async () => {
    const truth = await decodePhoto(caseFile('webp/truth.png'));
    for (const name of ['lossless', 'alpha', 'animated'])
      expect(await decodePhoto(caseFile(`webp/${name}.webp`))).toEqual(truth);
    const { rgb } = await decodePhoto(caseFile('webp/lossy.webp'));
    const error = rgb.reduce((sum, value, i) => sum + Math.abs(value - truth.rgb[i]!), 0) / rgb.length;
    expect(error).toBeLessThan(6);
    const turned = await decodePhoto(caseFile('webp/turned.webp'));
    expect([turned.width, turned.height]).toEqual([48, 64]);
    expect(turned.rgb.subarray(47 * 3, 48 * 3)).toEqual(truth.rgb.subarray(0, 3));
  });

  it('reads a lossless WebP of one colour, whose picture takes 8 bytes', async () => {
    const photo = await decodePhoto(caseFile('webp/plain.webp'));
    expect([photo.width, photo.height]).toEqual([16, 3]);
    expect(new Set(photo.rgb)).toEqual(new Set([7]));
  });

  it('refuses a WebP of more chunks than an animation has', async () => {
    const bytes = new Uint8Array(20 + 8 * 200_000);
    bytes.set([...'RIFF'].map((char) => char.charCodeAt(0)));
    new DataView(bytes.buffer).setUint32(4, bytes.length - 8, true);
    bytes.set(
      [...'WEBP'].map((char) => char.charCodeAt(0)),
      8,
    );
    await expect(decodePhoto(bytes)).rejects.toMatchObject({
      code: 'IMAGE',
      message: /more than 100000 chunks/,
    });
  });

  it('refuses a WebP that is cut or damaged', async () => {
    for (const name of ['lossless', 'lossy', 'animated', 'turned']) {
      const bytes = caseFile(`webp/${name}.webp`);
      for (let length = 12; length < bytes.length; length += 41)
        await expect(decodePhoto(bytes.subarray(0, length))).rejects.toMatchObject({ code: 'IMAGE' });
    }
    const damaged = caseFile('webp/lossless.webp').fill(255, 60, 200);
    await expect(decodePhoto(damaged)).rejects.toMatchObject({ code: 'IMAGE', message: /damaged/ });
    // the next photo is read all the same
    expect(await decodePhoto(caseFile('webp/lossless.webp'))).toMatchObject({ width: 64 });
  });

  it.each([
    [1, 3, [0, 1, 2, 3, 4, 5]],
    [2, 3, [2, 1, 0, 5, 4, 3]],
    [3, 3, [5, 4, 3, 2, 1, 0]],
    [4, 3, [3, 4, 5, 0, 1, 2]],
    [5, 2, [0, 3, 1, 4, 2, 5]],
    [6, 2, [3, 0, 4, 1, 5, 2]],
    [7, 2, [5, 2, 4, 1, 3, 0]],
    [8, 2, [2, 5, 1, 4, 0, 3]],
  ])('turns a photo of orientation %i upright', async (orientation, width, expected) => {
    const photo = await decodePhoto(numbered(chunk('eXIf', exif([orientationEntry(orientation)]))));
    expect(photo.width).toBe(width);
    expect(places(photo)).toEqual(expected);
  });

  it('turns a JPEG as its EXIF orientation says', async () => {
    const upright = await decodePhoto(cat);
    const turned = await decodePhoto(withExif(cat, exif([orientationEntry(6)])));
    expect([turned.width, turned.height]).toEqual([300, 451]);
    // orientation 6: shown turned by 90° clockwise, so the top left corner comes to the top right
    const pixel = (photo: typeof turned, x: number, y: number) =>
      photo.rgb.subarray((y * photo.width + x) * 3, (y * photo.width + x) * 3 + 3);
    expect(pixel(turned, 299, 0)).toEqual(pixel(upright, 0, 0));
    expect(pixel(turned, 299, 450)).toEqual(pixel(upright, 450, 0));
  });

  it.each([
    [
      'a tag of an unknown type before it',
      exif([entry(0x010f, 77, 9, [1, 2, 3, 4]), orientationEntry(3)]),
      3,
    ],
    [
      'pointers that lead nowhere',
      exif([entry(0x010f, 2, 60000, [255, 255, 255, 255]), orientationEntry(8)]),
      8,
    ],
    [
      'an EXIF pointer beyond the end',
      exif([entry(0x8769, 4, 1, [127, 255, 255, 255]), orientationEntry(6)]),
      6,
    ],
    ['a thumbnail with its own', exif([orientationEntry(1)], [orientationEntry(6)]), 1],
    ['none but a thumbnail’s', exif([entry(0x010f, 3, 1, [0, 1])], [orientationEntry(6)]), 1],
    ['a directory that is cut off', exif([orientationEntry(6)]).subarray(0, 14), 1],
    ['a value that means nothing', exif([orientationEntry(99)]), 1],
  ])('finds the orientation beside %s', async (_, tiff, expected) => {
    expect(exifOrientation(tiff)).toBe(expected);
    const { width } = await decodePhoto(withExif(cat, tiff));
    expect(width).toBe(expected >= 5 ? 300 : 451);
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
