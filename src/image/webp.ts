import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { compileModule, emscriptenOptions, hasWebAssembly, type WasmModule } from '../backend/webassembly.js';
import { imageError } from '../errors.js';
import { exifOrientation, type Orientation } from './exif.js';
import { beginsWith, type PhotoFormat, type PhotoHeader, uprightPhoto } from './pixels.js';

interface WebpHeader extends PhotoHeader {
  /** The picture's own chunk, its header included: of an animation the first frame's. */
  picture: Uint8Array;
}

const endsEarly = () => imageError('the WebP ends early: the file is truncated');

/** Most chunks that are walked over: far more than any animation has. */
const MAX_CHUNKS = 100_000;

interface Chunk {
  type: string;
  whole: Uint8Array;
  content: Uint8Array;
}

const isPicture = ({ type }: Chunk) => type === 'VP8 ' || type === 'VP8L';

function firstPicture(frame: Uint8Array): Chunk | undefined {
  for (const chunk of chunksOf(frame)) if (isPicture(chunk)) return chunk;
  return undefined;
}

/** Chunks of a RIFF file or of a frame in it. */
function* chunksOf(bytes: Uint8Array): Generator<Chunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let chunks = 0;
  for (let at = 0; at + 8 <= bytes.length; ) {
    if (++chunks > MAX_CHUNKS) throw imageError(`the WebP has more than ${MAX_CHUNKS} chunks`);
    const length = view.getUint32(at + 4, true);
    const end = at + 8 + length;
    if (end > bytes.length) throw endsEarly();
    const type = String.fromCharCode(...bytes.subarray(at, at + 4));
    yield { type, whole: bytes.subarray(at, end), content: bytes.subarray(at + 8, end) };
    at = end + (length % 2);
  }
}

/** Width and height of a picture's chunk (RFC 6386 section 9.1; RFC 9649 section 3.4). */
function sizeOf(type: string, content: Uint8Array): { width: number; height: number } {
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const lossy = type === 'VP8 ';
  if (
    content.length < (lossy ? 10 : 5) ||
    (lossy ? !beginsWith(content, '\x9d\x01\x2a', 3) : content[0] !== 0x2f)
  )
    throw imageError('the WebP’s header is damaged');
  if (lossy) return { width: view.getUint16(6, true) & 0x3fff, height: view.getUint16(8, true) & 0x3fff };
  const packed = view.getUint32(1, true);
  return { width: (packed & 0x3fff) + 1, height: ((packed >>> 14) & 0x3fff) + 1 };
}

const uint24 = (bytes: Uint8Array, at: number) => bytes[at]! + bytes[at + 1]! * 256 + bytes[at + 2]! * 65536;

function inspectWebp(bytes: Uint8Array): WebpHeader {
  if (bytes.length < 20) throw endsEarly();
  const length = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(4, true);
  if (8 + length > bytes.length) throw endsEarly();
  let orientation: Orientation = 1;
  let canvas: { width: number; height: number } | undefined;
  let picture: Chunk | undefined;
  for (const chunk of chunksOf(bytes.subarray(12, 8 + length))) {
    const { type, content } = chunk;
    if (type === 'EXIF')
      orientation = exifOrientation(content.subarray(beginsWith(content, 'Exif\0\0') ? 6 : 0));
    if (type === 'VP8X' && content.length >= 10)
      canvas = { width: uint24(content, 4) + 1, height: uint24(content, 7) + 1 };
    if (isPicture(chunk)) picture ??= chunk;
    // a frame: its place, size, duration and flags, then its own chunks
    if (type === 'ANMF' && content.length >= 16) picture ??= firstPicture(content.subarray(16));
  }
  if (!picture) throw imageError('the WebP holds no picture');
  const size = sizeOf(picture.type, picture.content);
  if (canvas && (canvas.width !== size.width || canvas.height !== size.height))
    throw imageError('the WebP’s first frame covers a part of the picture only, which is not supported');
  return { ...size, orientation, picture: picture.whole };
}

/** A WebP file of one picture and nothing else; transparency, which is not used, stays behind. */
function plainFile(picture: Uint8Array): Uint8Array {
  const padded = picture.length + (picture.length % 2);
  const file = new Uint8Array(12 + padded);
  file.set([...'RIFF\0\0\0\0WEBP'].map((char) => char.charCodeAt(0)));
  new DataView(file.buffer).setUint32(4, 4 + padded, true);
  file.set(picture, 12);
  return file;
}

/** The part of libwebp's WASM build that is used; it takes `ImageData` for a global of Node's and makes one if need be. */
interface Libwebp {
  decode(bytes: Uint8Array): { data: Uint8ClampedArray; width: number; height: number } | null;
}

let code: WasmModule | undefined;

async function instantiate(): Promise<Libwebp> {
  const script = createRequire(import.meta.url).resolve('@jsquash/webp/codec/dec/webp_dec.js');
  const { default: create } = (await import(pathToFileURL(script).href)) as {
    default: (options: object) => Promise<Libwebp>;
  };
  code ??= compileModule(new Uint8Array(readFileSync(script.replace(/\.js$/, '.wasm'))));
  return create(emscriptenOptions(code));
}

/** Largest photo, in pixels, whose instance is kept for the next. */
const MAX_KEPT_PIXELS = 4e6;
let instance: Promise<Libwebp> | undefined;

export const webpFormat: PhotoFormat = {
  name: 'WebP',
  matches: (bytes) => beginsWith(bytes, 'RIFF') && beginsWith(bytes, 'WEBP', 8),
  inspect: inspectWebp,
  async decode(_, header) {
    if (!hasWebAssembly())
      throw imageError(
        'WebP is decoded by WebAssembly, which this Node runs without; save it as JPEG or PNG',
      );
    instance ??= instantiate();
    const decoding = instance;
    // one that throws is not used again, and memory never shrinks: a large photo's is given back
    instance = undefined;
    const webp = await decoding;
    const bitmap = webp.decode(plainFile((header as WebpHeader).picture));
    if (!bitmap) throw imageError('the WebP is damaged and cannot be decoded');
    if (header.width * header.height <= MAX_KEPT_PIXELS) instance = decoding;
    return uprightPhoto(bitmap.data, 4, header);
  },
};
