import type { ChildProcess } from 'node:child_process';
import { backendError } from '../errors.js';

/** Sends a message to a process of the benchmark and waits for the answer; throws `BACKEND`. */
export function ask<T>(child: ChildProcess, message: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const finish = (act: () => void) => {
      child.off('message', onMessage).off('exit', onExit);
      act();
    };
    const onMessage = (reply: T & { error?: string }) =>
      finish(() => (reply.error === undefined ? resolve(reply) : reject(backendError(reply.error))));
    const onExit = (code: number | null) =>
      finish(() => reject(backendError(`a benchmark process ended (${code})`)));
    child.on('message', onMessage).on('exit', onExit);
    child.send(message);
  });
}
