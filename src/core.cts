/** CommonJS entry of the core: the same module, through Node's require of ES modules. */
import core = require('./core.js');
export = core;
