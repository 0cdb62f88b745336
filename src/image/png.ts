import { inflateSync } from 'node:zlib';
import { imageError } from '../errors.js';
import { exifOrientation, type Orientation } from './exif.js';
import { beginsWith, type PhotoFormat, type PhotoHeader, uprightPhoto } from './pixels.js';

/** Bytes of the unpacked pixels, one filter byte a row; interlaced ones in Adam7's seven passes. */
function unpackedBytes(width: number, height: number, bitsPerPixel: number, interlaced: boolean): number {
  const pass = (left: number, top: number, dx: number, dy: number) => {
    const w = Math.ceil((width - left) / dx);
    const h = Math.ceil((height - top) / dy);
    return w > 0 && h > 0 ? h * (1 + Math.ceil((w * bitsPerPixel) / 8)) : 0;
  };
  if (!interlaced) return pass(0, 0, 1, 1);
  return (
    pass(0, 0, 8, 8) +
    pass(4, 0, 8, 8) +
    pass(0, 4, 4, 8) +
    pass(2, 0, 4, 4) +
    pass(0, 2, 2, 4) +
    pass(1, 0, 2, 2) +
    pass(0, 1, 1, 2)
  );
}

const CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

interface PngHeader extends PhotoHeader {
  /** Compressed pixels, in pieces. */
  data: Uint8Array[];
  bitsPerPixel: number;
  interlaced: boolean;
  /** The picture's own chunks: what follows them is left out, and so is a colour that stands for transparency. */
  file: Uint8Array;
}

/** Most chunks that are walked over: a photo's pixels come in a few, or in some thousands of 8 kB each. */
const MAX_CHUNKS = 100_000;
const PALETTE = 3;

const endsEarly = () => imageError('the PNG ends early: the file is truncated');

/** Walks over the chunks; an animated PNG's further pictures are in chunks that are passed over. */
function inspectPng(bytes: Uint8Array): PngHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data: Uint8Array[] = [];
  let header: number | undefined;
  let orientation: Orientation | undefined;
  let chunks = 0;
  let key: [number, number] | undefined;
  for (let at = 8; at + 12 <= bytes.length; ) {
    const length = view.getUint32(at);
    const end = at + 12 + length;
    if (end > bytes.length) throw endsEarly();
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    const content = bytes.subarray(at + 8, at + 8 + length);
    if (type === 'IHDR') {
      if (header !== undefined) throw imageError('the PNG has two headers');
      if (length !== 13 || at !== 8) throw imageError('the PNG’s header is damaged');
      header = at + 8;
    }
    if (type === 'IDAT') data.push(content);
    if (type === 'eXIf') orientation ??= exifOrientation(content);
    if (type === 'tRNS' && header !== undefined && bytes[header + 9] !== PALETTE) key = [at, end];
    if (++chunks > MAX_CHUNKS) throw imageError(`the PNG has more than ${MAX_CHUNKS} chunks`);
    if (type === 'IEND') {
      if (header === undefined) throw imageError('the PNG has no header');
      const channels = CHANNELS[bytes[header + 9]!];
      if (channels === undefined)
        throw imageError(`the PNG has an unknown colour type, ${bytes[header + 9]}`);
      return {
        width: view.getUint32(header),
        height: view.getUint32(header + 4),
        orientation: orientation ?? 1,
        data,
        bitsPerPixel: channels * bytes[header + 8]!,
        interlaced: bytes[header + 12] === 1,
        // its decoder would paint the colour of a key black
        file: key
          ? Buffer.concat([bytes.subarray(0, key[0]), bytes.subarray(key[1], end)])
          : bytes.subarray(0, end),
      };
    }
    at = end;
  }
  throw endsEarly();
}

/** Throws unless the pixels unpack to as many bytes as the header says: a decoder might take any number of them. */
function checkUnpacked({ width, height, bitsPerPixel, interlaced, data }: PngHeader): void {
  const expected = unpackedBytes(width, height, bitsPerPixel, interlaced);
  let found: number;
  try {
    found = inflateSync(Buffer.concat(data), { maxOutputLength: expected }).length;
  } catch (error) {
    throw imageError('the PNG’s pixels cannot be unpacked, or are not as many as its header says', error);
  }
  if (found !== expected)
    throw imageError(`the PNG holds ${found} bytes of pixels, its header says ${expected}`);
}

export const pngFormat: PhotoFormat = {
  name: 'PNG',
  matches: (bytes) => beginsWith(bytes, '\x89PNG\r\n\x1a\n'),
  inspect: inspectPng,
  async decode(_, header) {
    const { file } = header as PngHeader;
    checkUnpacked(header as PngHeader);
    const { default: png } = await import('@jimp/js-png');
    const bitmap = await png().decode(Buffer.from(file.buffer, file.byteOffset, file.length));
    return uprightPhoto(bitmap.data, 4, header);
  },
};
