"""Let ``import`` find the packages of an environment: Node.js looks for them beside the importing file only.

NODE_PATH serves ``require`` alone. The small module here is loaded before the action; it asks once more, from the
environment's directory, for what Node.js did not find. The action stays where it is, so ``import.meta.url`` is its own.
It costs nothing where no ES module comes into play. Needs Node.js 18.19 or later.
"""

from __future__ import annotations

from pathlib import Path

PRELOAD = ".attune_imports.cjs"
_HOOKS = ".attune_imports.mjs"

_PRELOAD_TEXT = """'use strict';
const fs = require('fs'), path = require('path'), Module = require('module'), { pathToFileURL } = require('url');
const home = pathToFileURL(path.join(__dirname, 'index.js')).href;
const missing = (error) => error && error.code === 'ERR_MODULE_NOT_FOUND';
const bare = (name) => !/^(?:[./]|[a-z][a-z0-9+.-]*:)/i.test(name);
let done = false;
function hook() {
  if (done) return;
  done = true;
  if (Module.registerHooks) {
    Module.registerHooks({
      resolve(name, context, next) {
        try {
          return next(name, context);
        } catch (error) {
          if (!missing(error) || !bare(name)) throw error;
          return next(name, { ...context, parentURL: home });
        }
      },
    });
  } else if (Module.register) {
    Module.register(pathToFileURL(path.join(__dirname, '%s')).href, { data: { home } });
  }
}
function isModule(file) {
  if (/\\.m[jt]s$/.test(file)) return true;
  if (/\\.c[jt]s$/.test(file)) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(folder, 'package.json'), 'utf8')).type === 'module';
    } catch (error) {
      if (folder === path.dirname(folder)) return false;
    }
  }
}
const main = process.argv[1];
const syntax = /\\bimport\\s*\\(|^\\s*(?:import|export)\\b/m;
const text = (file) => { try { return fs.readFileSync(file, 'utf8'); } catch (error) { return ''; } };
if (main && (isModule(path.resolve(main)) || syntax.test(text(main)))) hook();
else {
  const compile = Module.prototype._compile;
  Module.prototype._compile = function (content, ...rest) {
    if (!done && syntax.test(content)) hook();
    return compile.call(this, content, ...rest);
  };
}
"""
_HOOKS_TEXT = """let home = new URL('./index.js', import.meta.url).href;
const bare = (name) => !/^(?:[./]|[a-z][a-z0-9+.-]*:)/i.test(name);
export async function initialize(data) { home = data.home; }
export async function resolve(name, context, next) {
  try {
    return await next(name, context);
  } catch (error) {
    if (error?.code !== 'ERR_MODULE_NOT_FOUND' || !bare(name)) throw error;
    return next(name, { ...context, parentURL: home });
  }
}
"""


def write_preload(env_dir: Path) -> None:
    """Write the modules into the environment.

    Raises:
        OSError: they can't be written.
    """
    (env_dir / PRELOAD).write_text(_PRELOAD_TEXT % _HOOKS, encoding="utf-8")
    (env_dir / _HOOKS).write_text(_HOOKS_TEXT, encoding="utf-8")
