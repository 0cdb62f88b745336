/** Ends the batch at the first Ctrl-C, keeping what is finished, and the process at a later one. */
export function stopOnSignals(controller: AbortController): () => void {
  let interrupted: number | undefined;
  const stop = (signal: NodeJS.Signals) => {
    // npm passes Ctrl-C on although the terminal has sent it already: only a later one ends the process at once
    if (interrupted !== undefined && performance.now() - interrupted > 1000) process.exit(130);
    interrupted ??= performance.now();
    controller.abort(signal);
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, stop);
  return () => {
    for (const signal of signals) process.off(signal, stop);
  };
}
