import type { Backend } from '../engine/backend.js';
export const compileWasm = (bytes: Uint8Array<ArrayBuffer>) => bytes;
export const wasmBackend = (_: unknown): Backend => { throw new Error('stub'); };
