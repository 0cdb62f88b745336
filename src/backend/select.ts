import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Backend, BackendName } from '../engine/backend.js';
import { referenceBackend } from '../engine/reference.js';
import { backendError, reasonOf, usageError } from '../errors.js';
import { loadNative } from './native.js';
import { selfTest } from './self-test.js';
import { compileWasm, wasmBackend } from './wasm.js';

export const BACKENDS: readonly BackendName[] = ['native', 'wasm', 'reference'];

/** A back-end and why it was taken. */
export interface Selection {
  backend: Backend;
  why: string;
}

const wasmPath = fileURLToPath(new URL('../../dist/kernels.wasm', import.meta.url));

function loadWasm(): Backend {
  let bytes: Uint8Array<ArrayBuffer>;
  try {
    bytes = new Uint8Array(readFileSync(wasmPath));
  } catch (error) {
    throw backendError(
      `the WASM kernel is not there (${reasonOf(error)}); in a checkout, run: npm run build:js`,
      error,
    );
  }
  const backend = wasmBackend(compileWasm(bytes));
  const failure = selfTest(backend);
  if (failure !== undefined) throw backendError(`the WASM kernel fails its self-test: ${failure}`);
  return backend;
}

function parseName(name: string, source: string): BackendName {
  const known = BACKENDS.find((backend) => backend === name);
  if (!known) throw usageError(`${source} is "${name}"; expected ${BACKENDS.join(', ')}`);
  return known;
}

const cache = new Map<string, Selection>();

/**
 * Takes the back-end asked for (option, then `SPIKING_YOLO_BACKEND`), or the first of native, wasm and reference
 * that loads and passes its self-test. The instruction set: option, then `SPIKING_YOLO_ISA`, else the best.
 * Throws `BACKEND` if a forced one is not there, `USAGE` for a name that does not exist.
 *
 * @example
 * ```ts
 * import { selectBackend } from 'spiking-yolo';
 *
 * console.log(selectBackend({ backend: 'wasm' }).backend.isa); // simd128
 * ```
 */
export function selectBackend(
  options: { backend?: string | undefined; isa?: string | undefined } = {},
): Selection {
  const backend = options.backend ?? (process.env.SPIKING_YOLO_BACKEND || undefined);
  const isa = options.isa ?? (process.env.SPIKING_YOLO_ISA || undefined);
  const key = `${backend} ${isa}`;
  const cached = cache.get(key);
  if (cached) return cached;
  const selection = choose(
    backend,
    isa,
    options.backend === undefined ? 'SPIKING_YOLO_BACKEND' : '--backend',
  );
  cache.set(key, selection);
  return selection;
}

function choose(name: string | undefined, isa: string | undefined, source: string): Selection {
  if (name !== undefined) {
    const forced = parseName(name, source);
    if (isa !== undefined && forced !== 'native')
      throw usageError(`an instruction set can be forced for native only, not for ${forced}`);
    const why = `forced by ${source}`;
    if (forced === 'native') return { backend: loadNative(isa).backend, why };
    return { backend: forced === 'wasm' ? loadWasm() : referenceBackend, why };
  }
  if (isa !== undefined) return { backend: loadNative(isa).backend, why: 'its instruction set is forced' };
  try {
    const { backend, path } = loadNative();
    return { backend, why: `loaded from ${path}` };
  } catch (nativeFailure) {
    try {
      return { backend: loadWasm(), why: reasonOf(nativeFailure) };
    } catch (wasmFailure) {
      return { backend: referenceBackend, why: `${reasonOf(nativeFailure)}; ${reasonOf(wasmFailure)}` };
    }
  }
}
