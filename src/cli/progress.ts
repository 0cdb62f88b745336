/** Progress with an estimate of the time left, on stderr: live on a terminal, else a line now and then if asked for. */
export class Progress {
  private readonly photos: number;
  private readonly verbose: boolean;
  private readonly start = performance.now();
  private lastShown = 0;
  private done = 0;
  private shown = false;

  /** @param verbose also writes lines where stderr is not a terminal */
  constructor(photos: number, verbose: boolean) {
    this.photos = photos;
    this.verbose = verbose;
  }

  /** Of the photo at hand, `step` of `total` time steps are simulated. */
  steps(step: number, total: number): void {
    this.show((this.done + step / total) / this.photos, `step ${step} of ${total}`);
  }

  /** One more photo is done. */
  photo(): void {
    this.done++;
    this.show(this.done / this.photos, `${this.done} of ${this.photos} photos`);
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

  private show(part: number, what: string): void {
    const now = performance.now();
    const live = process.stderr.isTTY;
    if (!(live || this.verbose) || now - this.lastShown < (live ? 200 : 10_000) || part >= 1) return;
    if (this.lastShown === 0 && now - this.start < 300) return;
    this.lastShown = now;
    const seconds = ((now - this.start) / 1000 / part) * (1 - part);
    const left = seconds >= 90 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds)} s`;
    process.stderr.write(live ? `\r\x1b[K${what}, about ${left} left` : `${what}, about ${left} left\n`);
    this.shown = live;
  }
}
