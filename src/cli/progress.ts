/** A time as people say it. */
export function duration(seconds: number): string {
  if (seconds >= 36 * 3600) return `${(seconds / 86_400).toPrecision(2)} days`;
  if (seconds >= 90 * 60) return `${(seconds / 3600).toPrecision(2)} h`;
  return seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds)} s`;
}

/** Progress with an estimate of the time left, on stderr: live on a terminal, else a line now and then if asked for. */
export class Progress {
  private readonly photos: number;
  private readonly verbose: boolean;
  private start = performance.now();
  private lastShown = 0;
  private done = 0;
  /** Photos that were done before the clock started. */
  private skipped = 0;
  private shown = false;

  /** @param photos to come, Infinity if they are not counted yet; @param verbose also writes lines where stderr is not a terminal */
  constructor(photos: number, verbose: boolean) {
    this.photos = photos;
    this.verbose = verbose;
  }

  /** Of the photo at hand, `step` of `total` time steps are simulated. */
  steps(step: number, total: number): void {
    this.show(this.share(step / total), `step ${step} of ${total}`);
  }

  /** One more photo is done. */
  photo(): void {
    this.done++;
    const rate = (1000 * (this.done - this.skipped)) / (performance.now() - this.start);
    const photos = Number.isFinite(this.photos)
      ? `${this.done} of ${this.photos} photos`
      : `${this.done} photos`;
    this.show(this.share(0), `${photos}, ${rate.toPrecision(3)} a second`);
  }

  /** So many photos were done before: they say nothing about the time the others take. */
  skip(photos: number): void {
    this.skipped = photos;
    this.done = photos;
    this.start = performance.now();
  }

  /** Work begins whose time has nothing to do with that of the work before it. */
  begin(): void {
    this.start = performance.now();
  }

  /** Work of another kind: `part` of it (0..1) is done. */
  part(part: number, what: string): void {
    this.show(part, what);
  }

  /** Removes the live line. */
  clear(): void {
    if (this.shown) process.stderr.write('\r\x1b[K');
    this.shown = false;
  }

  /** Part of the work that is done, the photo at hand counted as `begun` of one. */
  private share(begun: number): number {
    return (this.done - this.skipped + begun) / (this.photos - this.skipped);
  }

  private show(part: number, what: string): void {
    const now = performance.now();
    const live = process.stderr.isTTY;
    const since = now - Math.max(this.lastShown, this.start);
    if (!(live || this.verbose) || since < (live ? 200 : 10_000) || part >= 1) return;
    this.lastShown = now;
    const seconds = ((now - this.start) / 1000 / part) * (1 - part);
    const line = Number.isFinite(seconds) ? `${what}, about ${duration(seconds)} left` : what;
    process.stderr.write(live ? `\r\x1b[K${line}` : `${line}\n`);
    this.shown = live;
  }
}
