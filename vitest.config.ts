import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/absent.ts',
    testTimeout: 120_000,
    hookTimeout: 300_000,
    // its own default leaves a core free, of which small machines have two
    maxWorkers: '100%',
    coverage: { include: ['src/**'], exclude: ['src/cli/**', 'src/workers/**'] },
  },
});
