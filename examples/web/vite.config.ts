import { defineConfig } from 'vite';

export default defineConfig({
  // found under any path of a host
  base: './',
  resolve: { alias: { 'spiking-yolo/web': new URL('../../dist/web/index.js', import.meta.url).pathname } },
  build: { outDir: 'dist', emptyOutDir: true, modulePreload: { polyfill: false }, assetsInlineLimit: 0 },
  worker: { format: 'es' },
});
