/** Work that runs together with other work, or alone, each in its turn. */
export class Turns {
  /** The last work that runs alone, and what came after it. */
  private alone: Promise<unknown> = Promise.resolve();
  private readonly together = new Set<Promise<unknown>>();

  /** Runs work when what came before it and must not overlap with it has ended. */
  take<T>(alone: boolean, work: () => Promise<T>): Promise<T> {
    const before = alone ? Promise.all([this.alone, ...this.together]) : this.alone;
    const result = before.then(work);
    const ended = result.then(
      () => {},
      () => {},
    );
    if (alone) {
      this.alone = ended;
    } else {
      this.together.add(ended);
      void ended.then(() => this.together.delete(ended));
    }
    return result;
  }
}
