// Prints 1 if the C++ compiler takes a flag, else 0: node compiler-knows.mjs -mavxvnni. For binding.gyp.
import { spawnSync } from 'node:child_process';

const compiler = process.env.CXX ?? 'c++';
const { status } = spawnSync(compiler, [...process.argv.slice(2), '-fsyntax-only', '-x', 'c++', '-'], {
  input: '',
});
console.log(status === 0 ? 1 : 0);
