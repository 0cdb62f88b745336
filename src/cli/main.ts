#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { reasonOf, SpikingYoloError } from '../errors.js';
import { version } from '../version.js';
import { printError } from './print.js';

/** What adds each command, in the order of the help. */
const COMMANDS = {
  detect: async () => (await import('./detect.js')).addDetectCommand,
  export: async () => (await import('./export.js')).addExportCommand,
  merge: async () => (await import('./merge.js')).addMergeCommand,
  convert: async () => (await import('./convert.js')).addConvertCommand,
  eval: async () => (await import('./eval.js')).addEvalCommand,
  report: async () => (await import('./report.js')).addReportCommand,
  serve: async () => (await import('./serve.js')).addServeCommand,
  enqueue: async () => (await import('./enqueue.js')).addEnqueueCommand,
  work: async () => (await import('./work.js')).addWorkCommand,
  status: async () => (await import('./status.js')).addStatusCommand,
  collect: async () => (await import('./collect.js')).addCollectCommand,
  bench: async () => (await import('./bench.js')).addBenchCommand,
  info: async () => (await import('./info.js')).addInfoCommand,
  completion: async () => (await import('./completion.js')).addCompletionCommand,
};

/** Exit codes: 0 all done, 1 something failed, 2 the command was wrong, 130 interrupted. */
const USAGE_EXIT = 2;

// a reader that closes the pipe early (| head) is no failure
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  printError(`cannot write to stdout: ${error.message}`);
  process.exit(1);
});

const program = new Command('spiking-yolo')
  .description(
    'Spiking object detection: integrate-and-fire neurons that find what a trained Tiny YOLO finds',
  )
  .version(version)
  .exitOverride()
  .configureOutput({ outputError: (text, write) => write(text) });
// a start takes in no more than its command needs; help, a misspelt one and completion want all of them
const [asked = ''] = process.argv.slice(2);
const named = Object.hasOwn(COMMANDS, asked) && asked !== 'completion';
for (const load of named ? [COMMANDS[asked as keyof typeof COMMANDS]] : Object.values(COMMANDS))
  (await load())(program);
for (const command of [program, ...program.commands]) {
  command.exitOverride().configureHelp({
    optionDescription: (option) => {
      const { description, argChoices, defaultValue, mandatory } = option;
      const extras = [
        ...(mandatory ? ['required'] : []),
        ...(argChoices ? [argChoices.join(', ')] : []),
        ...(defaultValue !== undefined && !String(defaultValue).includes('/')
          ? [`default: ${defaultValue}`]
          : []),
      ];
      return extras.length > 0 ? `${description} (${extras.join('; ')})` : description;
    },
  });
}

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT;
  } else {
    const expected = error instanceof SpikingYoloError;
    printError(reasonOf(error));
    if (!expected && process.env.SPIKING_YOLO_DEBUG) process.stderr.write(`${(error as Error)?.stack}\n`);
    process.exitCode = expected && error.code === 'USAGE' ? USAGE_EXIT : 1;
  }
}
