/** Calls from a page to its worker: named methods, answered in the order in which they come, errors with their code. */
import { backendError, describeError, errorOf, type Failure, reasonOf, usageError } from '../errors.js';

interface Call {
  id: number;
  method: string;
  argument: unknown;
}

type Answer = { id: number } & ({ value: unknown } | Failure);

/** What both ends need of a worker or its scope. */
interface End {
  postMessage(message: unknown, transfer?: Transferable[]): void;
  addEventListener(type: 'message', listener: (event: MessageEvent) => void): void;
}

/** The page's end. A worker that fails to start, or ends, fails every call that waits and all that come. */
export class Caller {
  private readonly worker: Worker;
  private readonly waiting = new Map<
    number,
    { resolve(value: unknown): void; reject(reason: Error): void }
  >();
  private lastId = 0;
  private ended: Error | undefined;

  constructor(worker: Worker) {
    this.worker = worker;
    worker.addEventListener('message', ({ data }: MessageEvent<Answer>) => {
      const call = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if (!call) return;
      if ('value' in data) return call.resolve(data.value);
      call.reject(errorOf(data));
    });
    worker.addEventListener('error', (event) => {
      event.preventDefault();
      this.end(
        backendError(
          `the worker of the detector ended: ${event.message || 'its script could not be loaded or started'}`,
        ),
      );
    });
  }

  /** Asks for a method; `transfer` goes over to the worker. */
  call<T>(method: string, argument: unknown, transfer: Transferable[] = []): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.ended) return reject(this.ended);
      const id = ++this.lastId;
      try {
        this.worker.postMessage({ id, method, argument } satisfies Call, transfer);
      } catch (error) {
        return reject(usageError(`this cannot be sent to the detector’s worker: ${reasonOf(error)}`, error));
      }
      this.waiting.set(id, { resolve, reject });
    }) as Promise<T>;
  }

  /** Ends the worker at once. */
  end(reason: Error): void {
    if (this.ended) return;
    this.ended = reason;
    this.worker.terminate();
    for (const { reject } of this.waiting.values()) reject(reason);
    this.waiting.clear();
  }
}

/** The worker's end: a method begins when the one before has answered. */
export function answerCalls(scope: End, methods: Record<string, (argument: never) => unknown>): void {
  let turn = Promise.resolve();
  scope.addEventListener('message', ({ data: { id, method, argument } }: MessageEvent<Call>) => {
    turn = turn.then(async () => {
      let answer: Answer;
      try {
        answer = { id, value: await methods[method]!(argument as never) };
      } catch (error) {
        answer = { id, ...describeError(error) };
      }
      scope.postMessage(answer);
    });
  });
}
