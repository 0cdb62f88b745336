#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import { reasonOf, SpikingYoloError } from '../errors.js';
import { version } from '../version.js';
import { addBenchCommand } from './bench.js';
import { addCollectCommand } from './collect.js';
import { addCompletionCommand } from './completion.js';
import { addConvertCommand } from './convert.js';
import { addDetectCommand } from './detect.js';
import { addEnqueueCommand } from './enqueue.js';
import { addEvalCommand } from './eval.js';
import { addExportCommand } from './export.js';
import { addInfoCommand } from './info.js';
import { addMergeCommand } from './merge.js';
import { printError } from './print.js';
import { addReportCommand } from './report.js';
import { addServeCommand } from './serve.js';
import { addStatusCommand } from './status.js';
import { addWorkCommand } from './work.js';

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
for (const add of [
  addDetectCommand,
  addExportCommand,
  addMergeCommand,
  addConvertCommand,
  addEvalCommand,
  addReportCommand,
  addServeCommand,
  addEnqueueCommand,
  addWorkCommand,
  addStatusCommand,
  addCollectCommand,
  addBenchCommand,
  addInfoCommand,
  addCompletionCommand,
])
  add(program);
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
