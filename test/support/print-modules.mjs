// imported before a program: prints the packages of node_modules that it takes in, one a line, on stderr
import { register } from 'node:module';

register(
  `data:text/javascript,${encodeURIComponent(`
    import { writeSync } from 'node:fs';
    export async function load(url, context, next) {
      const found = /.*\\/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url);
      if (found) writeSync(2, 'takes in ' + found[1] + '\\n');
      return next(url, context);
    }
  `)}`,
);
