/** A picture that is held from frame to frame, (height, width, channels) bytes. */
export class HeldPicture {
  private readonly channels: number;
  private readonly deadZone: number;
  private held: Uint8Array | undefined;

  /** @param deadZone δ: grey levels that a pixel may differ by from the held one, in every channel, without changing it */
  constructor(channels: number, deadZone: number) {
    this.channels = channels;
    this.deadZone = deadZone;
  }

  /** The picture as it is held; undefined before the first frame. */
  get pixels(): Uint8Array | undefined {
    return this.held;
  }

  reset(): void {
    this.held = undefined;
  }

  /**
   * Takes a frame: a pixel of it is taken over where it differs from the held one by more than δ in any channel. Gives how many
   * were. A difference is always that from the held picture, never from the last frame, so that nothing drifts.
   */
  update(frame: Uint8Array): number {
    const { channels, deadZone } = this;
    if (!this.held) {
      this.held = frame.slice();
      return frame.length / channels;
    }
    const { held } = this;
    let changed = 0;
    if (deadZone === 0 && channels === 3) {
      // as most streams have it
      for (let at = 0; at < frame.length; at += 3) {
        const differs =
          (frame[at]! ^ held[at]!) | (frame[at + 1]! ^ held[at + 1]!) | (frame[at + 2]! ^ held[at + 2]!);
        if (differs !== 0) changed++;
      }
      if (changed > 0) held.set(frame);
      return changed;
    }
    for (let at = 0; at < frame.length; at += channels) {
      let differs = false;
      for (let c = at; c < at + channels; c++) if (Math.abs(frame[c]! - held[c]!) > deadZone) differs = true;
      if (!differs) continue;
      for (let c = at; c < at + channels; c++) held[c] = frame[c]!;
      changed++;
    }
    return changed;
  }
}
