import type { DetectionStream, FrameResult, StreamOptions } from '../detection/stream.js';
import { SpikingYoloError } from '../errors.js';
import { Refusal } from './request.js';
import type { NamedDetector } from './server.js';

/** How the streams of cameras are kept. */
export interface CameraLimits {
  /** Streams at once, each with a network in a thread of its own. */
  maxStreams: number;
  /** Milliseconds without a picture after which a stream ends. */
  streamIdleMs: number;
}

interface Kept {
  stream: DetectionStream;
  /** Pictures that are being looked at or wait for it. */
  pending: number;
  idle: NodeJS.Timeout | undefined;
}

/** A stream for each camera and model, as long as pictures of it come. */
export class Cameras {
  private readonly limits: CameraLimits;
  private readonly options: StreamOptions;
  /** The one that was asked longest ago first. */
  private readonly kept = new Map<string, Kept>();

  constructor(limits: CameraLimits, options: StreamOptions) {
    this.limits = limits;
    this.options = options;
  }

  get streams(): number {
    return this.kept.size;
  }

  /**
   * The next picture of a camera; undefined if as many streams are busy as there may be. Where there are that many, the one that
   * has waited longest for a picture makes room. Throws a {@link Refusal} for a detector that has no streams.
   */
  async next(
    { name, detector }: NamedDetector,
    camera: string,
    image: Uint8Array,
  ): Promise<FrameResult | undefined> {
    const key = JSON.stringify([name, camera]);
    const kept = this.kept.get(key) ?? this.open(detector);
    if (!kept) return undefined;
    this.kept.delete(key);
    this.kept.set(key, kept);
    clearTimeout(kept.idle);
    kept.pending++;
    try {
      return await kept.stream.next(image);
    } finally {
      kept.pending--;
      if (kept.pending === 0 && this.kept.get(key) === kept) {
        kept.idle = setTimeout(() => this.end(key), this.limits.streamIdleMs);
        kept.idle.unref();
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.kept.keys()].map((key) => this.end(key)));
  }

  private open(detector: NamedDetector['detector']): Kept | undefined {
    if (this.kept.size >= this.limits.maxStreams) {
      const idle = [...this.kept].find(([, { pending }]) => pending === 0);
      if (!idle) return undefined;
      void this.end(idle[0]);
    }
    try {
      return { stream: detector.stream({ ...this.options, worker: true }), pending: 0, idle: undefined };
    } catch (error) {
      throw error instanceof SpikingYoloError ? new Refusal(501, error.message) : error;
    }
  }

  private async end(key: string): Promise<void> {
    const kept = this.kept.get(key);
    this.kept.delete(key);
    clearTimeout(kept?.idle);
    await kept?.stream.close();
  }
}
