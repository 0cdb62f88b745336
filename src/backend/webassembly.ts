import { backendError } from '../errors.js';

/** The part of WebAssembly's interface that is used; Node's types do not describe it without the DOM's. */
export interface WasmModule {
  readonly compiled?: never;
}

interface Interface {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  Memory: new (descriptor: { initial: number }) => { readonly buffer: ArrayBuffer };
  Instance: new (module: WasmModule, imports: object) => { readonly exports: object };
}

/** Compiles a module, in this thread and at once. */
export function compileModule(bytes: Uint8Array<ArrayBuffer>): WasmModule {
  const { Module } = webAssembly();
  return new Module(bytes);
}

/** Options for one instance of a module made by Emscripten, which writes into them: another instance takes others. */
export function emscriptenOptions(module: WasmModule): object {
  const { Instance } = webAssembly();
  return {
    noInitialRun: true,
    instantiateWasm(imports: object, done: (instance: object) => void) {
      const instance = new Instance(module, imports);
      done(instance);
      return instance.exports;
    },
  };
}

/** False in a Node that runs with --jitless. */
export const hasWebAssembly = () => 'WebAssembly' in globalThis;

/** WebAssembly; throws `BACKEND` where it does not exist. */
export function webAssembly(): Interface {
  if (!hasWebAssembly())
    throw backendError('WebAssembly does not exist here (Node runs without it, as with --jitless)');
  return (globalThis as unknown as { WebAssembly: Interface }).WebAssembly;
}
