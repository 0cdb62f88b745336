import type { Command } from 'commander';
import { loadNative } from '../backend/native.js';
import { selectBackend } from '../backend/select.js';
import { reasonOf } from '../errors.js';
import { type JpegDecoder, jpegDecoder } from '../image/jpeg.js';
import { DEFAULT_MODEL, listModels } from '../model/registry.js';
import { version } from '../version.js';
import { describeFile } from './describe-file.js';
import { addBackendOptions, addOnnxOptions, type OnnxOptions, onnxOptionsOf } from './options.js';

const JPEG_DECODERS: Record<JpegDecoder, string> = {
  'libjpeg-turbo': 'libjpeg-turbo (WASM)',
  'jpeg-js': 'jpeg-js (this Node runs without WebAssembly: slower, its pixels may differ by some levels)',
};

interface InfoOptions extends OnnxOptions {
  backend?: string;
  isa?: string;
  names?: string;
}

/** Adds `spiking-yolo info`. */
export function addInfoCommand(program: Command): void {
  const command = program
    .command('info')
    .argument(
      '[file]',
      'a network (.onnx, .cfg) or a model (.safetensors): what it is and whether it converts',
    )
    .description('show which back-end is in use and why, models and versions; or what a file holds')
    .option('--names <file>', 'class names of an ONNX file that has none');
  addOnnxOptions(command).addHelpText(
    'after',
    `
Examples:
  spiking-yolo info
  spiking-yolo info best.onnx
  SPIKING_YOLO_BACKEND=wasm spiking-yolo info     (forces a back-end, as --backend wasm does)`,
  );
  addBackendOptions(command).action(async (file: string | undefined, options: InfoOptions) => {
    if (file !== undefined) {
      const described = await describeFile(file, { names: options.names, ...onnxOptionsOf(options) });
      process.stdout.write(`${described.join('\n')}\n`);
      return;
    }
    const { backend, why } = selectBackend(options);
    const lines = [`back-end: ${backend.name}`, `instruction set: ${backend.isa}`, `why: ${why}`];
    for (const { name, state } of instructionSetStates(backend.name === 'native' ? backend.isa : undefined)) {
      lines.push(`  ${name.padEnd(12)} ${state}`);
    }
    lines.push(`JPEG decoder: ${JPEG_DECODERS[jpegDecoder()]}`, 'models:');
    for (const { name, about } of listModels()) {
      lines.push(`  ${name.padEnd(26)} ${about}${name === DEFAULT_MODEL ? ' (default)' : ''}`);
    }
    lines.push(
      `versions: spiking-yolo ${version}, node ${process.versions.node}, ${process.platform} ${process.arch}`,
    );
    process.stdout.write(`${lines.join('\n')}\n`);
  });
}

function instructionSetStates(inUse: string | undefined): { name: string; state: string }[] {
  try {
    return loadNative().instructionSets.map(({ name, supported, reason }) => ({
      name,
      state: name === inUse ? 'in use' : supported ? 'can be forced' : reason,
    }));
  } catch (error) {
    return [{ name: 'native', state: reasonOf(error) }];
  }
}
