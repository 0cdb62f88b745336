import { abortedError, imageError, reasonOf, usageError } from '../errors.js';
import { MAX_PIXELS, type RawPixels } from '../image/raw-photo.js';

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

/** The colours that are stored, as Node's decoders give them: without a profile's conversion or alpha multiplied in. */
const AS_STORED: ImageBitmapOptions = { colorSpaceConversion: 'none', premultiplyAlpha: 'none' };

/** Of a class that this realm may lack: workers have no elements. */
const is = (name: 'HTMLVideoElement' | 'HTMLImageElement' | 'ImageData', value: unknown): boolean =>
  name in globalThis && value instanceof (globalThis[name] as unknown as new () => unknown);

const isRaw = (source: WebSource | RawPixels): source is RawPixels =>
  typeof source === 'object' && source !== null && 'channels' in source;

/**
 * Takes a picture as it is now, with what goes over to the worker; the source stays the caller's. Throws `IMAGE` for what cannot be
 * decoded or has no pixels yet, `USAGE` for what is no picture.
 */
export async function takePicture(source: WebSource | RawPixels): Promise<[Picture, Transferable[]]> {
  if (isRaw(source)) return [source, []];
  if (is('ImageData', source)) {
    const { data, width, height } = source as ImageData;
    return [
      { data: new Uint8Array(data.buffer, data.byteOffset, data.length), width, height, channels: 4 },
      [],
    ];
  }
  if (is('HTMLVideoElement', source) && (source as HTMLVideoElement).readyState < 2)
    throw imageError('the video has no frame yet');
  let bitmap: ImageBitmap;
  try {
    if (is('HTMLImageElement', source)) await (source as HTMLImageElement).decode();
    bitmap = await createImageBitmap(source as ImageBitmapSource, AS_STORED);
  } catch (error) {
    if (error instanceof TypeError)
      throw usageError(
        'a picture is a Blob, an ImageBitmap, ImageData, an image, video or canvas, or raw pixels {data, width, height, channels: 3 | 4}',
      );
    throw imageError(
      source instanceof Blob
        ? `${source.type || 'the file'} is damaged, or no picture that this browser can decode`
        : `the picture cannot be read: ${reasonOf(error)}`,
      error,
    );
  }
  const { width, height } = bitmap;
  if (width * height <= MAX_PIXELS) return [{ bitmap }, [bitmap]];
  bitmap.close();
  throw imageError(
    `the picture has ${width}×${height} pixels; at most ${MAX_PIXELS / 1e6} megapixels are taken`,
  );
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
 * Throws `IMAGE` if it fails, `ABORTED` if the signal aborts.
 */
export async function* videoFrames(
  video: HTMLVideoElement,
  { signal }: { signal?: AbortSignal | undefined } = {},
): AsyncGenerator<HTMLVideoElement> {
  for (;;) {
    const state = await nextFrame(video, signal);
    if (state === 'ended') return;
    yield video;
  }
}

function nextFrame(video: HTMLVideoElement, signal: AbortSignal | undefined): Promise<'frame' | 'ended'> {
  return new Promise((resolve, reject) => {
    const listening = new AbortController();
    // Firefox has it from 132 on; before, the same frame may come twice, which costs a stream nothing
    const perFrame = 'requestVideoFrameCallback' in video;
    const done = (settle: () => void) => {
      listening.abort();
      if (perFrame) video.cancelVideoFrameCallback(handle);
      else cancelAnimationFrame(handle);
      settle();
    };
    const on = (target: EventTarget, type: string, listener: () => void) =>
      target.addEventListener(type, () => done(listener), { signal: listening.signal });
    const fail = () => reject(imageError(`the video fails: ${video.error?.message || 'its data ended'}`));
    const stop = () => reject(abortedError('cancelled', signal?.reason));
    const shown = () => done(() => resolve('frame'));
    const handle = perFrame ? video.requestVideoFrameCallback(shown) : requestAnimationFrame(shown);
    on(video, 'ended', () => resolve('ended'));
    on(video, 'error', fail);
    if (signal) on(signal, 'abort', stop);
    // a camera that goes away ends its tracks, and the video hears nothing of it
    const tracks = video.srcObject instanceof MediaStream ? video.srcObject.getVideoTracks() : [];
    for (const track of tracks) on(track, 'ended', () => reject(imageError('the camera has gone away')));
    if (signal?.aborted) done(stop);
    else if (video.ended) done(() => resolve('ended'));
    else if (video.error) done(fail);
    else if (tracks.length > 0 && tracks.every(({ readyState }) => readyState === 'ended'))
      done(() => reject(imageError('the camera has gone away')));
  });
}
