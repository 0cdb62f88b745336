import { abortedError, checkSignal, imageError, reasonOf, usageError } from '../errors.js';
import { checkSize, type RawPixels } from '../image/raw-photo.js';

/** A picture as browsers have it. An image or a video from another origin must have come with CORS. */
export type WebSource =
  | Blob
  | ImageBitmap
  | ImageData
  | HTMLImageElement
  | HTMLVideoElement
  | HTMLCanvasElement
  | OffscreenCanvas;

/** A picture on its way to the worker. */
export type Picture = { bitmap: ImageBitmap } | RawPixels;

/** The `readyState` from which on a video stands at a picture. */
const HAS_PICTURE = 2;

/** The colours that are stored, as Node's decoders give them: without a profile's conversion or alpha multiplied in. */
const AS_STORED: ImageBitmapOptions = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };

/** A picture that has been taken, and what of it goes over to the worker instead of a copy. */
export type TakenPicture = readonly [Picture, Transferable[]];

const isRaw = (source: WebSource | RawPixels): source is RawPixels =>
  typeof source === 'object' && source !== null && 'channels' in source;

/** The class of a platform's object, whatever realm it is from: a frame of a page has classes of its own. */
export const kindOf = (value: unknown): string => Object.prototype.toString.call(value).slice(8, -1);

const notAPicture = () =>
  usageError(
    'a picture is a Blob, an ImageBitmap, ImageData, an image, video or canvas, or raw pixels {data, width, height, channels: 3 | 4}',
  );

/**
 * Takes a picture as it is at the call; the source stays the caller's. Throws `IMAGE` for what cannot be decoded, is too large or has no
 * pixels yet, `USAGE` for what is no picture.
 */
export async function takePicture(source: WebSource | RawPixels): Promise<TakenPicture> {
  const kind = kindOf(source);
  if (isRaw(source) || kind === 'ImageData') {
    const { data, width, height } = source as RawPixels | ImageData;
    if (kindOf(data) !== 'Uint8Array' && kindOf(data) !== 'Uint8ClampedArray') throw notAPicture();
    const copy = new Uint8Array(data);
    return [{ data: copy, width, height, channels: isRaw(source) ? source.channels : 4 }, [copy.buffer]];
  }
  if (kind === 'HTMLVideoElement' && (source as HTMLVideoElement).readyState < HAS_PICTURE)
    throw imageError('the video has no frame yet');
  let bitmap: ImageBitmap;
  try {
    if (kind === 'HTMLImageElement') await (source as HTMLImageElement).decode();
    bitmap = await createImageBitmap(source as ImageBitmapSource, AS_STORED);
  } catch (error) {
    if (error instanceof TypeError) throw notAPicture();
    const file = kind === 'Blob' || kind === 'File';
    throw imageError(
      file
        ? `${(source as File).name || (source as Blob).type || 'the file'} is damaged, or no picture that this browser can decode`
        : `the picture cannot be read: ${reasonOf(error)}`,
      error,
    );
  }
  try {
    checkSize(bitmap);
  } catch (error) {
    bitmap.close();
    throw error;
  }
  return [{ bitmap }, [bitmap]];
}

/** Turns pictures into pixels, in the worker, on a canvas that is kept from one to the next. */
export class PixelReader {
  private canvas: OffscreenCanvas | undefined;

  /** RGBA of a picture, which is used up. */
  read(picture: Picture): RawPixels {
    if (!('bitmap' in picture)) return picture;
    const { bitmap } = picture;
    const { width, height } = bitmap;
    if (this.canvas?.width !== width || this.canvas.height !== height)
      this.canvas = new OffscreenCanvas(width, height);
    const context = this.canvas.getContext('2d', { willReadFrequently: true });
    if (!context) throw imageError(`not enough memory for a picture of ${width}×${height} pixels`);
    context.globalCompositeOperation = 'copy';
    context.drawImage(bitmap, 0, 0);
    const drawn = new Uint8Array(context.getImageData(0, 0, width, height).data.buffer);
    const data = (isOpaque(drawn) ? undefined : withoutAlpha(bitmap)) ?? drawn;
    bitmap.close();
    return { data, width, height, channels: 4 };
  }
}

const isOpaque = (rgba: Uint8Array): boolean => {
  for (let at = 3; at < rgba.length; at += 4) if (rgba[at] !== 255) return false;
  return true;
};

/**
 * RGBA as it is stored where a picture is transparent: a canvas has the alpha multiplied in. A texture has not; undefined where there
 * is none, or none so large.
 */
function withoutAlpha(bitmap: ImageBitmap): Uint8Array | undefined {
  const { width, height } = bitmap;
  const gl = new OffscreenCanvas(1, 1).getContext('webgl');
  if (!gl || Math.max(width, height) > gl.getParameter(gl.MAX_TEXTURE_SIZE)) return undefined;
  const texture = gl.createTexture();
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.pixelStorei(gl.UNPACK_COLORSPACE_CONVERSION_WEBGL, gl.NONE);
  gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA, gl.RGBA, gl.UNSIGNED_BYTE, bitmap);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, texture, 0);
  const rgba = new Uint8Array(width * height * 4);
  gl.readPixels(0, 0, width, height, gl.RGBA, gl.UNSIGNED_BYTE, rgba);
  const failed = gl.getError() !== gl.NO_ERROR;
  gl.getExtension('WEBGL_lose_context')?.loseContext();
  return failed ? undefined : rgba;
}

/**
 * A video's frames as it shows them, newest only: the video itself, each time it stands at another frame. Ends with the video.
 * Throws `IMAGE` if it fails or its camera goes away, `ABORTED` if the signal aborts, `USAGE` for what is no video.
 */
export async function* videoFrames(
  video: HTMLVideoElement,
  options: { signal?: AbortSignal | undefined } = {},
): AsyncGenerator<HTMLVideoElement> {
  const { signal } = options ?? {};
  if (kindOf(video) !== 'HTMLVideoElement') throw usageError('videoFrames takes a video element');
  checkSignal(signal);
  for (;;) {
    const state = await nextFrame(video, signal);
    if (state === 'ended') return;
    // while a video seeks it has none
    if (video.readyState >= HAS_PICTURE) yield video;
  }
}

const cameraGone = () => imageError('the camera has gone away');

function nextFrame(video: HTMLVideoElement, signal: AbortSignal | undefined): Promise<'frame' | 'ended'> {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    // Firefox has it from 132 on; before, the same frame may come twice, which costs a stream nothing
    const perFrame = 'requestVideoFrameCallback' in video;
    const tracks = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks() : [];
    const done = (settle: () => void) => {
      listening.abort();
      if (perFrame) video.cancelVideoFrameCallback(handle);
      else cancelAnimationFrame(handle);
      settle();
    };
    const on = (target: EventTarget, type: string, listener: () => void) =>
      target.addEventListener(type, () => done(listener), { signal: listening.signal });
    const fail = () => reject(imageError(`the video fails: ${video.error?.message || 'its data ended'}`));
    const changed = () => reject(imageError('the video was given another source, or none'));
    const stop = () => reject(abortedError('cancelled', signal?.reason));
    // a camera does not end: it goes away, and the video may hear of it first
    const end = () => (tracks.length > 0 ? reject(cameraGone()) : resolve('ended'));
    const shown = () => done(() => resolve('frame'));
    const handle = perFrame ? video.requestVideoFrameCallback(shown) : requestAnimationFrame(shown);
    on(video, 'ended', end);
    on(video, 'error', fail);
    on(video, 'emptied', changed);
    if (signal) on(signal, 'abort', stop);
    for (const track of tracks) on(track, 'ended', () => reject(cameraGone()));
    if (signal?.aborted) done(stop);
    else if (tracks.length > 0 && tracks.every(({ readyState }) => readyState === 'ended')) done(end);
    else if (video.ended) done(end);
    else if (video.error) done(fail);
  });
}
