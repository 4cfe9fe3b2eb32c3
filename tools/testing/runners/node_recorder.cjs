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

function inside(frame) {
  if (/node_modules|\bnode:/.test(frame) || !/:\d+\)?$/.test(frame)) return false;
  return frame.includes(TOP) || !/[( ](?:file:\/\/)?(?:\/|[A-Za-z]:\\)/.test(frame);
}

function condensed(text) {
  return plain(text)
    .split('\n')
    .filter((line) => !/^\s+at /.test(line) || inside(line))
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
  forget(name);
}

// Takes back a start: nothing is known of it.
function forget(name) {
  write({ kind: 'report', id: name, when: 'teardown', outcome: 'passed' });
}

function collect(name, error) {
  write({ kind: 'collect', id: name, text: error });
}

class Jest {
  onTestCaseStart(test, info) {
    start(id(test.path, [...(info.ancestorTitles || []), info.title]));
  }

  onTestCaseResult(test, result) {
    forget(id(test.path, [...result.ancestorTitles, result.title]));
  }

  onTestResult(test, result) {
    if (result.testExecError || (result.failureMessage && !result.testResults.length)) {
      const error = result.testExecError;
      const words = error && error.message ? told(error) : condensed(result.failureMessage);
      collect(id(test.path, []), words);
    }
    const words = { passed: 'passed', failed: 'failed' };
    for (const one of result.testResults) {
      const name = id(test.path, [...one.ancestorTitles, one.title]);
      const error = condensed((one.failureMessages || []).join('\n'));
      end(name, words[one.status] || 'skipped', error);
    }
  }

  onRunComplete(contexts, results) {
    write({ kind: 'end', passed: results.numPassedTests, failed: results.numFailedTests });
  }

  getLastError() {}
}

class Vitest {
  // Its workers say nothing while a test blocks them, so a hanging file is all that can be known.
  onTestModuleQueued(module) {
    start(id(module.moduleId, []));
  }

  onTestCaseReady(test) {
    start(this.name(test));
  }

  onTestCaseResult(test) {
    this.seen = true;
    const result = test.result();
    const errors = (result.errors || []).map(told).join('\n');
    end(this.name(test), /^(passed|failed)$/.test(result.state) ? result.state : 'skipped', errors);
  }

  onTestModuleEnd(module) {
    this.seen = true;
    const errors = module.errors();
    forget(id(module.moduleId, []));
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
    return id(test.module.moduleId, [test.fullName]);
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

const SEEN = ['test:dequeue', 'test:pass', 'test:fail'];
const UNMATCHED = 'test name does not match pattern';

async function* Node(source) {
  const stacks = {};
  const printed = {};
  for await (const { type, data } of source) {
    if (type === 'test:stderr') {
      printed[data.file] = ((printed[data.file] || '') + data.message).slice(0, MOST);
    }
    if (!SEEN.includes(type) || data.skip === UNMATCHED) continue;
    const place = data.file || '';
    const titles = (stacks[place] = stacks[place] || []).slice(0, data.nesting);
    const parent = id(place, titles);
    titles.push(data.name);
    stacks[place] = titles;
    const whole = data.nesting === 0 && path.resolve(data.name) === path.resolve(place);
    const name = id(place, whole ? [] : titles);
    if (type === 'test:dequeue') {
      if (!whole) forget(parent);
      start(name);
    } else if (whole) {
      forget(name);
      const error = condensed(printed[place] || '').trim();
      if (type === 'test:fail') collect(name, error || told(data.details.error));
    } else if (data.details && data.details.type === 'suite') {
      forget(name);
    } else {
      const skipped = data.skip !== undefined || (data.todo !== undefined && type === 'test:fail');
      const word = skipped ? 'skipped' : type === 'test:pass' ? 'passed' : 'failed';
      end(name, word, word === 'failed' ? told(data.details.error) : '');
      yield `${word} ${name}\n`;
    }
  }
  write({ kind: 'end' });
}

module.exports = { jest: Jest, vitest: Vitest, mocha: Mocha, node: Node };
