import { fileError } from '../errors.js';
import type { Photo } from '../image/resize.js';

/** Largest side of a frame, as of a photo. */
const MAX_EXTENT = 16_384;
/** More bytes than any header of ours has. */
const MAX_HEADER = 64;

/** Pictures out of a stream of bytes in which one binary PPM (P6, 8 bits) follows another, each of any size. */
export class PpmReader {
  private pieces: Uint8Array[] = [];
  private length = 0;

  /** Takes some more bytes and gives the pictures that they complete; throws `FILE` for anything that is no PPM. */
  *push(bytes: Uint8Array): Generator<Photo> {
    this.pieces.push(bytes);
    this.length += bytes.length;
    for (;;) {
      const header = this.header();
      if (!header || this.length < header.end + header.size) return;
      const all = this.join();
      const { width, height, end, size } = header;
      // a copy: what is left of the bytes is not kept alive by a picture
      yield { width, height, rgb: new Uint8Array(all.subarray(end, end + size)) };
      this.pieces = all.length > end + size ? [all.subarray(end + size)] : [];
      this.length = all.length - end - size;
    }
  }

  /** True if a picture has begun and not ended. */
  get torn(): boolean {
    return this.length > 0;
  }

  private join(): Uint8Array {
    const [first] = this.pieces;
    const all = this.pieces.length === 1 ? first! : Buffer.concat(this.pieces);
    this.pieces = [all];
    return all;
  }

  private header(): { width: number; height: number; end: number; size: number } | undefined {
    if (this.length === 0) return undefined;
    if (this.pieces[0]!.length < MAX_HEADER && this.pieces.length > 1) this.join();
    const start = Buffer.from(this.pieces[0]!.subarray(0, MAX_HEADER)).toString('latin1');
    const found = /^P6\s(\d+)\s(\d+)\s255\s/.exec(start);
    if (!found) {
      if (this.length >= MAX_HEADER || !'P6'.startsWith(start.slice(0, 2)))
        throw fileError('what comes out of ffmpeg is no picture');
      return undefined;
    }
    const [width, height] = [Number(found[1]), Number(found[2])];
    if (!(width >= 1 && height >= 1 && Math.max(width, height) <= MAX_EXTENT && width * height <= 1e8))
      throw fileError(`a frame is ${width}×${height}; expected 1 to ${MAX_EXTENT} pixels a side`);
    return { width, height, end: found[0].length, size: width * height * 3 };
  }
}
