/**
 * What picture decoders let pass: files that end early, or that unpack to far more than their header says.
 */
import { inflateSync } from 'node:zlib';

/**
 * True if an end-of-image marker follows the start of the scan. Segments before it are stepped over, since an embedded
 * thumbnail has a marker of its own; some cameras append data after the photo's.
 */
function isCompleteJpeg(bytes: Uint8Array): boolean {
  let at = 2;
  while (at + 4 <= bytes.length && bytes[at] === 0xff && bytes[at + 1] !== 0xda) {
    at += bytes[at + 1] === 0xff ? 1 : 2 + bytes[at + 2]! * 256 + bytes[at + 3]!;
  }
  for (let i = at + 2; i + 1 < bytes.length; i++) {
    if (bytes[i] === 0xff && bytes[i + 1] === 0xd9) return true;
  }
  return false;
}

/** Bytes of a PNG's unpacked pixels, one filter byte a row; interlaced ones in Adam7's seven passes. */
function pngBytes(width: number, height: number, bitsPerPixel: number, interlaced: boolean): number {
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

const PNG_CHANNELS: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

function pngDamage(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const data: Uint8Array[] = [];
  let headers = 0;
  let ended = false;
  for (let at = 8; at + 12 <= bytes.length && !ended; ) {
    const length = view.getUint32(at);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (at + 12 + length > bytes.length) return 'the PNG ends early: the file is truncated';
    if (type === 'IHDR') headers++;
    if (type === 'IDAT') data.push(bytes.subarray(at + 8, at + 8 + length));
    ended = type === 'IEND';
    at += 12 + length;
  }
  if (!ended) return 'the PNG ends early: the file is truncated';
  if (headers !== 1) return `the PNG has ${headers} headers`;
  const [width, height] = [view.getUint32(16), view.getUint32(20)];
  const channels = PNG_CHANNELS[bytes[25]!];
  if (channels === undefined) return `the PNG has an unknown colour type, ${bytes[25]}`;
  const expected = pngBytes(width, height, channels * bytes[24]!, bytes[28] === 1);
  try {
    const found = inflateSync(Buffer.concat(data), { maxOutputLength: expected }).length;
    return found === expected
      ? undefined
      : `the PNG holds ${found} bytes of pixels, its header says ${expected}`;
  } catch {
    return 'the PNG’s pixels cannot be unpacked, or are not as many as its header says';
  }
}

function bmpDamage(bytes: Uint8Array): string | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 54) return 'the BMP ends early: the file is truncated';
  const [start, width, height] = [
    view.getUint32(10, true),
    view.getInt32(18, true),
    Math.abs(view.getInt32(22, true)),
  ];
  const [bits, compression] = [view.getUint16(28, true), view.getUint32(30, true)];
  if (compression !== 0 && compression !== 3) return 'the BMP is compressed, which is not supported';
  const rowBytes = Math.ceil((width * bits) / 32) * 4;
  if (start + rowBytes * height > bytes.length) return 'the BMP ends early: the file is truncated';
  return undefined;
}

/** Says what is wrong with a picture file that a decoder might accept all the same; undefined if nothing is. */
export function pictureDamage(bytes: Uint8Array, type: 'jpg' | 'png' | 'bmp'): string | undefined {
  if (type === 'png') return pngDamage(bytes);
  if (type === 'bmp') return bmpDamage(bytes);
  return isCompleteJpeg(bytes) ? undefined : 'the JPEG ends early: the file is truncated';
}
