import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { compileModule, emscriptenOptions, hasWebAssembly, type WasmModule } from '../backend/webassembly.js';
import { imageError } from '../errors.js';
import { exifOrientation, type Orientation } from './exif.js';
import { beginsWith, type PhotoFormat, type PhotoHeader, uprightPhoto } from './pixels.js';
import type { Photo } from './resize.js';

/** The decoders that JPEGs go through. */
export type JpegDecoder = 'libjpeg-turbo' | 'jpeg-js';

/** The decoder of usual JPEGs on this machine: libjpeg-turbo (WASM), or where WebAssembly is not there jimp's jpeg-js. */
export const jpegDecoder = (): JpegDecoder => (hasWebAssembly() ? 'libjpeg-turbo' : 'jpeg-js');

const decoderOf = ({ components }: { components: number }): JpegDecoder =>
  components === 4 ? 'jpeg-js' : jpegDecoder();

/** Most scans of a progressive JPEG: each costs a pass over the picture (libjpeg-turbo's tools draw the line there, too). */
const MAX_SCANS = 500;

/** Largest photo that jimp's decoder is given, in pixels: it takes some 44 bytes for each of a CMYK photo. */
const MAX_JIMP_PIXELS = 24_000_000;

const END_OF_IMAGE = Buffer.from([0xff, 0xd9]);
const START_OF_SCAN = Buffer.from([0xff, 0xda]);

interface JpegHeader extends PhotoHeader {
  components: number;
}

/** Start-of-frame markers; C4, C8 and CC between them are none. */
const isStartOfFrame = (marker: number) =>
  marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;

/** Markers without a segment: TEM, RST0-7, SOI. */
const standsAlone = (marker: number) => marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8);

const endsEarly = () => imageError('the JPEG ends early: the file is truncated');

/**
 * Walks over the segments up to the first scan, as ITU-T T.81, annex B has them: any order, any number of fill bytes.
 * An embedded thumbnail's markers lie inside a segment and are stepped over.
 */
function inspectJpeg(bytes: Uint8Array): JpegHeader {
  let frame: { width: number; height: number; components: number } | undefined;
  let orientation: Orientation | undefined;
  let adobe = false;
  let at = 2;
  for (;;) {
    while (at < bytes.length && bytes[at] !== 0xff) at++;
    while (at < bytes.length && bytes[at] === 0xff) at++;
    const marker = bytes[at++];
    if (marker === undefined) throw endsEarly();
    if (standsAlone(marker) || marker === 0) continue;
    if (marker === 0xd9) throw imageError('the JPEG holds no picture');
    const length = at + 2 <= bytes.length ? bytes[at]! * 256 + bytes[at + 1]! : 0;
    if (at + 2 > bytes.length || at + length > bytes.length) throw endsEarly();
    if (length < 2) throw imageError('the JPEG’s header is damaged: a segment is shorter than its length');
    const segment = bytes.subarray(at + 2, at + length);
    at += length;
    if (marker === 0xe1 && beginsWith(segment, 'Exif\0\0'))
      orientation ??= exifOrientation(segment.subarray(6));
    if (marker === 0xee && beginsWith(segment, 'Adobe')) adobe = true;
    if (isStartOfFrame(marker)) frame = readFrame(segment, marker);
    if (marker === 0xda) break;
  }
  if (!frame) throw imageError('the JPEG’s header is damaged: its picture begins without a frame header');
  if (decoderOf(frame) === 'jpeg-js' && frame.width * frame.height > MAX_JIMP_PIXELS)
    throw imageError(
      `the JPEG is ${frame.width}×${frame.height}; ${frame.components === 4 ? 'in CMYK' : 'without WebAssembly'} at most ${MAX_JIMP_PIXELS / 1e6} megapixels are decoded`,
    );
  if (frame.components === 4 && !adobe)
    throw imageError('the JPEG is in CMYK without an Adobe marker, which is not supported; save it in RGB');
  checkScans(bytes.subarray(at));
  return { ...frame, orientation: orientation ?? 1 };
}

function readFrame(segment: Uint8Array, marker: number) {
  if (segment.length < 6) throw imageError('the JPEG’s header is damaged: its frame header is too short');
  const [precision, high, low, wide, narrow, components] = segment as unknown as number[];
  if (precision !== 8)
    throw imageError(`the JPEG has ${precision} bits a sample, which is not supported; save it with 8`);
  if (![0xc0, 0xc1, 0xc2, 0xc9, 0xca].includes(marker))
    throw imageError('the JPEG is lossless or hierarchical, which is not supported; save it as a usual JPEG');
  const height = high! * 256 + low!;
  if (height === 0) throw imageError('the JPEG’s header does not name its height, which is not supported');
  if (components !== 1 && components !== 3 && components !== 4)
    throw imageError(`the JPEG has ${components} components; expected 1, 3 or 4`);
  return { width: wide! * 256 + narrow!, height, components };
}

/** Throws unless an end-of-image marker follows, or if there are more scans than a photo has. */
function checkScans(data: Uint8Array): void {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.length);
  if (!buffer.includes(END_OF_IMAGE)) throw endsEarly();
  let scans = 1;
  for (let at = buffer.indexOf(START_OF_SCAN); at >= 0; at = buffer.indexOf(START_OF_SCAN, at + 2)) {
    if (++scans > MAX_SCANS)
      throw imageError(`the JPEG has more than ${MAX_SCANS} scans; at most that many are decoded`);
  }
}

/** The part of libjpeg-turbo's WASM build that is used. */
interface LibjpegTurbo {
  HEAPU8: Uint8Array;
  JPEGDecoder: new () => {
    /** Memory to put the file into. */
    getEncodedBuffer(length: number): Uint8Array;
    /** Throws a number for a file that is damaged, also where a tolerant decoder would go on. */
    decode(): void;
    getFrameInfo(): { width: number; height: number; componentCount: number };
    /** A copy of the decoded bytes. */
    getDecodedBuffer(): Uint8Array;
    delete(): void;
  };
}

let code: WasmModule | undefined;
let instance: Promise<LibjpegTurbo> | undefined;

function instantiate(): Promise<LibjpegTurbo> {
  const require = createRequire(import.meta.url);
  const create = require('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasmjs') as (
    options: object,
  ) => Promise<LibjpegTurbo>;
  code ??= compileModule(
    new Uint8Array(readFileSync(require.resolve('@cornerstonejs/codec-libjpeg-turbo-8bit/decodewasm'))),
  );
  return create(emscriptenOptions(code));
}

/** Memory that an instance may keep for the next photo, in bytes; larger ones are given back. */
const KEPT_MEMORY = 64 * 2 ** 20;

async function decodeByTurbo(bytes: Uint8Array, header: JpegHeader): Promise<Photo> {
  try {
    instance ??= instantiate();
    const turbo = await instance;
    const decoder = new turbo.JPEGDecoder();
    decoder.getEncodedBuffer(bytes.length).set(bytes);
    decoder.decode();
    const { width, height, componentCount } = decoder.getFrameInfo();
    if (width !== header.width || height !== header.height) throw imageError('the JPEG has two sizes');
    const photo = uprightPhoto(decoder.getDecodedBuffer(), componentCount, header);
    decoder.delete();
    if (turbo.HEAPU8.length > KEPT_MEMORY) instance = undefined;
    return photo;
  } catch (error) {
    // it may hold on to memory of the failed photo
    instance = undefined;
    if (typeof error === 'number') throw imageError('the JPEG is damaged and cannot be decoded');
    throw error;
  }
}

/** jimp's decoder: for CMYK, and where WebAssembly is not there. Its chroma is not interpolated: pixels may differ a little. */
async function decodeByJimp(bytes: Uint8Array, header: JpegHeader): Promise<Photo> {
  const { default: jpeg } = await import('@jimp/js-jpeg');
  const options = { maxMemoryUsageInMB: 2048, maxResolutionInMP: 100, tolerantDecoding: false };
  const bitmap = await jpeg().decode(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length), options);
  return { ...uprightPhoto(bitmap.data, 4, header), decoder: 'jpeg-js' };
}

export const jpegFormat: PhotoFormat = {
  name: 'JPEG',
  matches: (bytes) => beginsWith(bytes, '\xff\xd8'),
  inspect: inspectJpeg,
  decode: (bytes, header) => {
    return decoderOf(header as JpegHeader) === 'libjpeg-turbo'
      ? decodeByTurbo(bytes, header as JpegHeader)
      : decodeByJimp(bytes, header as JpegHeader);
  },
};
