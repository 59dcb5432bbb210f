import { defineConfig } from 'vitest/config';
import { fixtures } from './dev/plugin.ts';

// The bundle is committed beside the Go file that embeds it. Nothing in it may depend on
// when, where or by whom it was built: two builds give the same bytes.
export default defineConfig({
  base: '/admin/',
  plugins: [fixtures()],
  build: {
    outDir: '../dist',
    emptyOutDir: true,
    target: 'es2022',
    // No data: URLs and no inline script: the policy of the page allows neither.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    sourcemap: false,
  },
  test: { include: ['test/**/*.test.ts'], environment: 'node' },
});
