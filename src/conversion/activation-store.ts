/** A map of a photo as tuning keeps it between layers: floats, or counts in bytes. */
export type StoredMap = Float32Array | Int8Array | Uint8Array;

/** Where maps wait between layers, under a key and a photo's number. */
export interface ActivationStore {
  write(key: string, photo: number, map: StoredMap): void;
  /** Fills `target` with what was written under the key for the photo, of the same kind and size. */
  read<T extends StoredMap>(key: string, photo: number, target: T): T;
  /** Forgets all photos' maps of a key. */
  free(key: string): void;
  /** Forgets everything; the store must not be used afterwards. */
  close(): void;
}

/**
 * Keeps maps in memory, which grows with the photos; see `ActivationFile` for one that does not.
 *
 * @example
 * ```ts
 * import { ActivationMemory } from 'spiking-yolo';
 *
 * const store = new ActivationMemory();
 * store.write('conv1', 0, Float32Array.of(0.5, 2));
 * console.log(store.read('conv1', 0, new Float32Array(2))[1]); // 2
 * ```
 */
export class ActivationMemory implements ActivationStore {
  private readonly maps = new Map<string, StoredMap[]>();

  write(key: string, photo: number, map: StoredMap): void {
    const photos = this.maps.get(key) ?? [];
    photos[photo] = map.slice();
    this.maps.set(key, photos);
  }

  read<T extends StoredMap>(key: string, photo: number, target: T): T {
    target.set(this.maps.get(key)![photo]!);
    return target;
  }

  free(key: string): void {
    this.maps.delete(key);
  }

  close(): void {
    this.maps.clear();
  }
}
