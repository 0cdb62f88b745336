import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/absent.ts',
    testTimeout: 120_000,
    hookTimeout: 300_000,
    coverage: { include: ['src/**'], exclude: ['src/cli/**', 'src/workers/**'] },
  },
});
