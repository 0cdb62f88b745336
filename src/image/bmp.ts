import { imageError } from '../errors.js';
import { beginsWith, type PhotoFormat, type PhotoHeader } from './pixels.js';

/** A channel of a pixel of 16 or 32 bits: where it lies, and its greatest value. */
interface Channel {
  shift: number;
  max: number;
}

interface BmpHeader extends PhotoHeader {
  bits: number;
  /** Rows from the top down; usually they go from the bottom up. */
  topDown: boolean;
  /** Where the pixels begin. */
  start: number;
  /** Bytes of a row, a multiple of 4. */
  rowBytes: number;
  /** (colours, 3), red, green, blue; of pixels of up to 8 bits. */
  palette: Uint8Array;
  /** Red, green and blue of pixels of 16 or 32 bits. */
  channels: Channel[];
}

const RGB = 0;
const BITFIELDS = 3;
const ALPHABITFIELDS = 6;
const FILE_HEADER = 14;
/** Sizes of the picture header: OS/2 1, OS/2 2, Windows 3, with masks, 4 and 5. */
const CORE_HEADER = 12;
const HEADERS = [CORE_HEADER, 16, 40, 52, 56, 64, 108, 124];

const endsEarly = () => imageError('the BMP ends early: the file is truncated');

function channelOf(mask: number): Channel {
  const shift = mask === 0 ? 0 : 31 - Math.clz32(mask & -mask);
  const max = mask >>> shift;
  if (max === 0 || (max & (max + 1)) !== 0)
    throw imageError('the BMP’s header is damaged: a colour’s bits are not together');
  return { shift, max };
}

function inspectBmp(bytes: Uint8Array): BmpHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < FILE_HEADER + CORE_HEADER) throw endsEarly();
  const start = view.getUint32(10, true);
  const size = view.getUint32(14, true);
  if (!HEADERS.includes(size))
    throw imageError(`the BMP has a header of ${size} bytes, which is not supported`);
  if (bytes.length < FILE_HEADER + size) throw endsEarly();
  const core = size === CORE_HEADER;
  const width = core ? view.getUint16(18, true) : view.getInt32(18, true);
  const signedHeight = core ? view.getUint16(20, true) : view.getInt32(22, true);
  const bits = view.getUint16(core ? 24 : 28, true);
  const compression = size >= 40 ? view.getUint32(30, true) : RGB;
  const masked = compression === BITFIELDS || compression === ALPHABITFIELDS;
  if (compression !== RGB && !(masked && size !== 64 && (bits === 16 || bits === 32)))
    throw imageError('the BMP is compressed, which is not supported; save it uncompressed');
  if (![1, 4, 8, 16, 24, 32].includes(bits))
    throw imageError(`the BMP has ${bits} bits a pixel, which is not supported`);
  let end = FILE_HEADER + size;
  let masks = bits === 16 ? [0x7c00, 0x3e0, 0x1f] : [0xff0000, 0xff00, 0xff];
  if (masked) {
    // behind the header, or in it from version 2 on
    const at = FILE_HEADER + 40;
    if (bytes.length < at + 12) throw endsEarly();
    masks = [0, 4, 8].map((offset) => view.getUint32(at + offset, true));
    if (size === 40) end += compression === ALPHABITFIELDS ? 16 : 12;
  }
  let palette = new Uint8Array();
  if (bits <= 8) {
    const stated = size >= 40 ? view.getUint32(46, true) : 0;
    const entry = core ? 3 : 4;
    const colours = stated > 0 && stated <= 2 ** bits ? stated : 2 ** bits;
    if (end + colours * entry > Math.min(start, bytes.length))
      throw imageError('the BMP’s palette is cut off');
    palette = new Uint8Array(colours * 3);
    for (let colour = 0; colour < colours; colour++)
      for (let channel = 0; channel < 3; channel++)
        palette[colour * 3 + channel] = bytes[end + colour * entry + 2 - channel]!;
    end += colours * entry;
  }
  const height = Math.abs(signedHeight);
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (start < end) throw imageError('the BMP’s header is damaged: its pixels begin inside it');
  if (start + rowBytes * height > bytes.length) throw endsEarly();
  const channels = bits === 16 || bits === 32 ? masks.map(channelOf) : [];
  return {
    width,
    height,
    orientation: 1,
    bits,
    topDown: signedHeight < 0,
    start,
    rowBytes,
    palette,
    channels,
  };
}

/** Pixels of up to 8 bits: indices into the palette; one beyond it is black. */
function paletteRow(row: Uint8Array, { width, bits, palette }: BmpHeader, rgb: Uint8Array): void {
  const perByte = 8 / bits;
  const mask = 2 ** bits - 1;
  for (let x = 0; x < width; x++) {
    const byte = row[Math.floor(x / perByte)]!;
    const index = (byte >> (8 - bits * (1 + (x % perByte)))) & mask;
    for (let channel = 0; channel < 3; channel++) rgb[x * 3 + channel] = palette[index * 3 + channel] ?? 0;
  }
}

/** Pixels of 16 or 32 bits, each channel scaled to 0..255. */
function maskedRow(row: Uint8Array, { width, bits, channels }: BmpHeader, rgb: Uint8Array): void {
  const view = new DataView(row.buffer, row.byteOffset, row.byteLength);
  for (let x = 0; x < width; x++) {
    const pixel = bits === 16 ? view.getUint16(2 * x, true) : view.getUint32(4 * x, true);
    for (const [channel, { shift, max }] of channels.entries())
      rgb[x * 3 + channel] = Math.floor((((pixel >>> shift) & max) * 255) / max);
  }
}

function blueGreenRedRow(row: Uint8Array, { width }: BmpHeader, rgb: Uint8Array): void {
  for (let at = 0; at < width * 3; at += 3) {
    rgb[at] = row[at + 2]!;
    rgb[at + 1] = row[at + 1]!;
    rgb[at + 2] = row[at]!;
  }
}

/**
 * Uncompressed BMPs of Windows and OS/2. jimp's own decoder loses the place of the pixels, half bytes of odd rows, 16-bit
 * colours and OS/2's headers; this one gives Pillow's pixels for all of them.
 */
export const bmpFormat: PhotoFormat = {
  name: 'BMP',
  matches: (bytes) => beginsWith(bytes, 'BM'),
  inspect: inspectBmp,
  async decode(bytes, photoHeader) {
    const header = photoHeader as BmpHeader;
    const { width, height, bits, topDown, start, rowBytes } = header;
    const readRow = bits <= 8 ? paletteRow : bits === 24 ? blueGreenRedRow : maskedRow;
    const rgb = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      const at = start + (topDown ? y : height - 1 - y) * rowBytes;
      readRow(bytes.subarray(at, at + rowBytes), header, rgb.subarray(y * width * 3, (y + 1) * width * 3));
    }
    return { width, height, rgb };
  },
};
