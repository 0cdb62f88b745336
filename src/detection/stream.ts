import type { DetectorResult, PhotoSource } from '../detector.js';
import { usageError } from '../errors.js';
import type { Photo } from '../image/resize.js';
import type { HeadOptions, SpikingDetector, SpikingResult } from './detector.js';
import { HeldPicture } from './held-picture.js';
import type { DetectionSettings } from './settings.js';

/** How a video is looked at. */
export interface StreamOptions {
  /** δ: grey levels that a pixel may differ by from the picture held without changing it, 0 (the default) to 255. */
  deadZone?: number | undefined;
}

/** What was found on a frame; `spikes` and `sops` are 0 where nothing was computed. */
export type FrameResult = DetectorResult & {
  /** From 0. */
  frame: number;
  /** Part of the pixels of the network's input that changed. */
  changed: number;
};

/** What a stream takes from its detector. */
export interface StreamSettings extends DetectionSettings, HeadOptions {
  checksum: boolean;
  model: string;
}

/**
 * The frames of one video, one after another; made by `Detector.stream`.
 *
 * @example
 * ```ts
 * import { Detector } from 'spiking-yolo';
 *
 * const detector = await Detector.load({ model: 'tiny-yolo-lite-voc' });
 * const stream = detector.stream();
 * console.log((await stream.next('samples/cat.jpg')).frame); // 0
 * stream.reset();
 * await detector.close();
 * ```
 */
export class DetectionStream {
  private readonly network: SpikingDetector;
  private readonly settings: StreamSettings;
  private readonly picture: HeldPicture;
  private readonly read: (source: PhotoSource) => Promise<Photo>;
  private readonly begin: () => number;
  private last: SpikingResult | undefined;
  private frames = 0;

  /** @internal */
  constructor(
    network: SpikingDetector,
    settings: StreamSettings,
    { deadZone = 0 }: StreamOptions,
    read: (source: PhotoSource) => Promise<Photo>,
    begin: () => number,
  ) {
    if (!(Number.isInteger(deadZone) && deadZone >= 0 && deadZone <= 255))
      throw usageError(`deadZone is ${deadZone}; expected a whole number from 0 to 255`);
    const { schedule, neuron, rho, pool } = settings;
    if (schedule !== 'layered' || neuron !== 'ibt-memory' || rho !== 0.5 || pool !== 'exact')
      throw usageError(
        'a stream runs layer by layer, with the neuron ibt-memory at ρ = ½ and the pool exact',
      );
    this.network = network;
    this.settings = settings;
    this.picture = new HeldPicture(network.channels, deadZone);
    this.read = read;
    this.begin = begin;
  }

  /** Looks at the next frame; throws what `Detector.detect` throws, after which the stream goes on as if it had not come. */
  async next(source: PhotoSource): Promise<FrameResult> {
    const start = performance.now();
    const photo = await this.read(source);
    const decoded = performance.now();
    const { network, settings, picture } = this;
    const pixels = network.resize(photo, settings.resize);
    // another size of frame is another video
    if (this.last && (this.last.width !== photo.width || this.last.height !== photo.height)) picture.reset();
    const changed = picture.update(pixels) / (pixels.length / network.channels);
    const resize = performance.now() - decoded;
    this.begin();
    const prepared = { decode: decoded - start, resize };
    if (changed > 0 || !this.last) {
      const found = network.detectPixels(picture.pixels!, photo, settings, { checksum: settings.checksum });
      this.last = found;
      const { network: ms, postprocess } = found.elapsedMs;
      return this.frameOf({ ...found, elapsedMs: { ...prepared, network: ms, postprocess } }, changed);
    }
    const elapsedMs = { ...prepared, network: 0, postprocess: 0 };
    const nothing = { spikes: 0, spikesPerNeuron: 0, sops: 0, spikesPerNeuronMacWeighted: 0 };
    return this.frameOf({ ...this.last, ...nothing, elapsedMs }, changed);
  }

  /** Forgets the picture held: the next frame is looked at as the first of a video. */
  reset(): void {
    this.picture.reset();
    this.last = undefined;
    this.frames = 0;
  }

  private frameOf(result: SpikingResult, changed: number): FrameResult {
    return { ...result, model: this.settings.model, frame: this.frames++, changed } as FrameResult;
  }
}
