/** A worker that ends, throws or fills its heap as the photo's name says, the first time or each time. */
import { existsSync, writeFileSync } from 'node:fs';
import { threadId } from 'node:worker_threads';

export default async function detectPhoto({ source, cancelled }) {
  const [what, marker] = source.split('|');
  const first = marker === undefined || !existsSync(marker);
  if (marker !== undefined && first) writeFileSync(marker, String(threadId));
  if (first && what === 'exit') process.exit(3);
  if (first && what === 'throw') throw new Error('a defect');
  if (first && what === 'heap') {
    const kept = [];
    for (;;) kept.push(new Array(1e6).fill(Math.random()));
  }
  if (what === 'slow') {
    while (Atomics.load(cancelled, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    return { error: { code: 'ABORTED', message: 'cancelled' } };
  }
  return { detections: [what] };
}
