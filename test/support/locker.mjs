/** Tries to lock each file that it is told of, holds it for a moment, and tells from when to when it had it. Started by test/lock.test.ts. */
import { setTimeout as wait } from 'node:timers/promises';
import { lockFile } from '../../dist/lock.js';

process.on('message', async (file) => {
  let held = null;
  try {
    const release = await lockFile(file);
    const from = Number(process.hrtime.bigint());
    await wait(20);
    held = { from, to: Number(process.hrtime.bigint()) };
    release();
  } catch {}
  process.send(held);
});
