// Runs inside the sandbox, in the process of Jest, Vitest, Mocha or `node --test`, as its reporter:
// writes what became of each test into `report` beside this file, as it happens. One JSON object a
// line, the same as the recorder for pytest writes. Old versions of Node must understand it.
'use strict';

const fs = require('fs');
const path = require('path');

const REPORT = path.join(__dirname, 'report');
const TOP = fs.readFileSync(path.join(__dirname, 'top'), 'utf8').trim();
const MOST = 20000;

function write(entry) {
  fs.appendFileSync(REPORT, JSON.stringify(entry) + '\n');
}

function file(name) {
  const plain = String(name || '').replace(/^file:\/\//, '');
  return plain ? path.relative(TOP, path.resolve(plain)).split(path.sep).join('/') : '';
}

function id(place, titles) {
  return [file(place), titles.join(' > ')].filter(Boolean).join('::');
}

function plain(value) {
  return String(value === undefined || value === null ? '' : value)
    .replace(/\u001b\[[0-9;]*m/g, '')
    .slice(0, MOST);
}

// The message, then those frames that lie inside the repository and in no package.
function told(error) {
  const cause = (error && error.code === 'ERR_TEST_FAILURE' && error.cause) || error;
  if (!cause || typeof cause !== 'object') return condensed(plain(cause));
  const message = plain(cause.message || cause);
  const stack = plain(cause.stack || cause.stackStr || '');
  const differs = cause.diff && !message.includes(cause.diff) ? '\n' + plain(cause.diff) : '';
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line)).join('\n');
  const expected = !differs && !/expected|received|!==/i.test(message) && 'expected' in cause
    ? `\nexpected: ${shown(cause.expected)}\nactual: ${shown(cause.actual)}` : '';
  return condensed(message + differs + expected + (frames ? '\n' + frames : ''));
}

function shown(value) {
  return plain(require('util').inspect(value, { depth: 3 })).slice(0, 1000);
}

function condensed(text) {
  return plain(text)
    .split('\n')
    .filter((line) => !/^\s+at /.test(line) || (line.includes(TOP) && !/node_modules|node:/.test(line)))
    .map((line) => line.split('file://' + TOP + '/').join('').split(TOP + '/').join(''))
    .join('\n');
}

function start(name) {
  write({ kind: 'start', id: name });
}

function end(name, outcome, error) {
  const entry = { kind: 'report', id: name, when: 'call', outcome };
  if (outcome === 'failed') entry.text = error;
  write(entry);
  write({ kind: 'report', id: name, when: 'teardown', outcome: 'passed' });
}

function collect(name, error) {
  write({ kind: 'collect', id: name, text: error });
}

class Jest {
  onTestCaseStart(test, info) {
    start(id(test.path, [...(info.ancestorTitles || []), info.title]));
  }

  onTestResult(test, result) {
    if (result.testExecError || (result.failureMessage && !result.testResults.length)) {
      const error = result.testExecError;
      collect(id(test.path, []), error && error.message ? told(error) : condensed(result.failureMessage));
    }
    const words = { passed: 'passed', failed: 'failed' };
    for (const one of result.testResults) {
      const name = id(test.path, [...one.ancestorTitles, one.title]);
      end(name, words[one.status] || 'skipped', condensed((one.failureMessages || []).join('\n')));
    }
  }

  onRunComplete(contexts, results) {
    write({ kind: 'end', passed: results.numPassedTests, failed: results.numFailedTests });
  }

  getLastError() {}
}

class Vitest {
  onTestCaseReady(test) {
    start(this.name(test));
  }

  onTestCaseResult(test) {
    this.seen = true;
    const result = test.result();
    const errors = (result.errors || []).map(told).join('\n');
    end(this.name(test), result.state === 'passed' || result.state === 'failed' ? result.state : 'skipped', errors);
  }

  onTestModuleEnd(module) {
    this.seen = true;
    const errors = module.errors();
    if (errors.length) collect(id(module.moduleId, []), errors.map(told).join('\n'));
  }

  // Vitest 1 and 2 know nothing of the above.
  onFinished(files, errors) {
    if (this.seen) return;
    for (const module of files || []) {
      const error = module.result && module.result.errors;
      if (error && error.length) collect(id(module.filepath, []), error.map(told).join('\n'));
      this.walk(module, module.filepath, []);
    }
    for (const error of errors || []) collect('', told(error));
    write({ kind: 'end' });
  }

  onTestRunEnd(modules, errors) {
    for (const error of errors || []) collect('unhandled error', told(error));
    write({ kind: 'end' });
  }

  walk(parent, place, titles) {
    for (const task of parent.tasks || []) {
      const below = [...titles, task.name];
      if (task.type === 'suite') {
        this.walk(task, place, below);
      } else {
        const result = task.result || {};
        const word = { pass: 'passed', fail: 'failed' }[result.state] || 'skipped';
        end(id(place, below), word, (result.errors || []).map(told).join('\n'));
      }
    }
  }

  name(test) {
    return id(test.module.moduleId, test.fullName.split(' > ').length ? [test.fullName] : []);
  }
}

function Mocha(runner) {
  const name = (test) => id(test.file || (test.parent && test.parent.file), test.titlePath());
  runner.on('test', (test) => start(name(test)));
  runner.on('pass', (test) => end(name(test), 'passed'));
  runner.on('pending', (test) => end(name(test), 'skipped'));
  runner.on('fail', (test, error) => {
    if (test.type === 'hook') collect(name(test), told(error));
    else end(name(test), 'failed', told(error));
  });
  runner.once('end', () => {
    const stats = runner.stats || {};
    write({ kind: 'end', passed: stats.passes, failed: stats.failures });
  });
}

async function* Node(source) {
  const titles = [];
  for await (const { type, data } of source) {
    if (!data || (type !== 'test:start' && type !== 'test:pass' && type !== 'test:fail')) continue;
    titles.length = data.nesting;
    titles[data.nesting] = data.name;
    const place = data.file || '';
    const whole = data.nesting === 0 && path.resolve(String(data.name)) === path.resolve(String(place));
    const name = id(place, whole ? [] : titles.slice(0, data.nesting + 1));
    const suite = data.details && data.details.type === 'suite';
    if (type === 'test:start') {
      if (!whole) start(name);
    } else if (whole && type === 'test:fail') {
      collect(name, told(data.details.error));
    } else if (suite) {
      write({ kind: 'report', id: name, when: 'teardown', outcome: 'passed' });
    } else if (!whole) {
      const skipped = data.skip !== undefined || (data.todo !== undefined && type === 'test:fail');
      const word = skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
      end(name, word, word === 'failed' ? told(data.details.error) : '');
      yield `${word} ${name}\n`;
    }
  }
  write({ kind: 'end' });
}

module.exports = { jest: Jest, vitest: Vitest, mocha: Mocha, node: Node };
