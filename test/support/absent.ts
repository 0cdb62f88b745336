import { existsSync } from 'node:fs';
import { hasProgram, hasPythonRequests, programsRequired } from './programs.js';
import { root, shared } from './shared.js';

/** Says once, before the tests, which of them are skipped on this machine and for want of what. */
export default function tellOfSkippedTests(): void {
  const needed: [string, boolean, string][] = [
    ['darknet', hasProgram('darknet'), 'the comparison with Debian’s darknet'],
    [
      'onnxruntime-node',
      existsSync(`${root}bench/peers/node_modules/onnxruntime-node`),
      'the comparison of ONNX files with it (npm ci --prefix bench/peers)',
    ],
    ['chromium', hasProgram('chromium'), 'the report and the page in a browser'],
    ['firefox-esr', hasProgram('firefox-esr'), 'the detector and the page in it'],
    [
      'qemu-aarch64',
      process.env.SPIKING_YOLO_ARM64_NODE !== undefined,
      'the addon on an emulated arm64 board',
    ],
    ['qemu-x86_64', hasProgram('qemu-x86_64'), 'the addon on a CPU without AVX'],
    ['ffmpeg', hasProgram('ffmpeg'), 'video files'],
    ['redis-server', hasProgram('redis-server'), 'fleets'],
    ['curl', hasProgram('curl'), 'the server asked by it'],
    ['python3-requests', hasPythonRequests(), 'the server asked by it'],
    ['../shared', existsSync(`${shared}data`), 'real networks and photos'],
  ];
  for (const [what, there, tests] of needed) {
    if (!there) console.log(`${what} is not here: ${tests}: skipped`);
  }
  if (programsRequired) console.log('programs are required: a test that needs an absent one fails');
}
