/** The part of WebAssembly's interface that the WASM back-end uses; Node's types do not describe it without the DOM's. */
export interface WasmModule {
  readonly compiled?: never;
}

interface Interface {
  Module: new (bytes: Uint8Array<ArrayBuffer>) => WasmModule;
  Memory: new (descriptor: { initial: number }) => { readonly buffer: ArrayBuffer };
  Instance: new (module: WasmModule, imports: { env: object }) => { readonly exports: object };
}

export const { Module, Memory, Instance } = (globalThis as unknown as { WebAssembly: Interface }).WebAssembly;
