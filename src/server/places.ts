/** So many things at once, and so many that wait; what comes beyond is turned away at once. */
export class Places {
  readonly places: number;
  readonly maxQueue: number;
  private taken = 0;
  private readonly queue: (() => void)[] = [];

  constructor(places: number, maxQueue: number) {
    this.places = places;
    this.maxQueue = maxQueue;
  }

  get running(): number {
    return this.taken;
  }

  get waiting(): number {
    return this.queue.length;
  }

  /** Waits for a place; gives what frees it again, or undefined if too many wait or the signal aborts. */
  async take(signal: AbortSignal): Promise<(() => void) | undefined> {
    if (signal.aborted) return undefined;
    if (this.taken < this.places) this.taken++;
    else {
      if (this.queue.length >= this.maxQueue) return undefined;
      // a place is handed on, never free in between
      const came = await new Promise<boolean>((resolve) => {
        const ready = () => {
          signal.removeEventListener('abort', gone);
          resolve(true);
        };
        const gone = () => {
          this.queue.splice(this.queue.indexOf(ready), 1);
          resolve(false);
        };
        this.queue.push(ready);
        signal.addEventListener('abort', gone, { once: true });
      });
      if (!came) return undefined;
    }
    let freed = false;
    return () => {
      if (freed) return;
      freed = true;
      const next = this.queue.shift();
      if (next) next();
      else this.taken--;
    };
  }
}
