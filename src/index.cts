/** CommonJS entry: the same module, through Node's require of ES modules. */
import api = require('./index.js');
export = api;
