// The interpreter of the scenario files in `cases/` for the Node clients. The words are explained in README.md.

import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const CASES = process.env.CONFORMANCE_CASES;
const POLL_DEADLINE = 30_000;
const POLL_PAUSE = 10;

const readCases = (name) => JSON.parse(readFileSync(join(CASES, `${name}.json`), 'utf8'));

export const load = readCases;
export const ERRORS = readCases('errors');
export const PRINCIPALS = readCases('principals');
export const VERSIONS = readCases('versions');

/** What the user of a client sees when the server refuses; `status` is undefined where the client hides it. `detail`: AccessDeniedDetail. */
export class Refusal {
  constructor(code, status, message, requestId, detail) {
    Object.assign(this, { code, status, message, request_id: requestId, detail });
  }

  toString() {
    return `${this.status} ${this.code}: ${this.message} (${this.request_id})`;
  }
}

function append(variable, record) {
  if (process.env[variable]) appendFileSync(process.env[variable], JSON.stringify(record) + '\n');
}

const covered = (operation, kind, client, code = null) => append('CONFORMANCE_COVERAGE', { operation, kind, client, code });
export const finished = (client, suite, name, passed) => append('CONFORMANCE_RESULTS', { client, suite, case: name, passed });

const lookup = (value, path) => path.split('.').reduce((inner, part) => inner[part], value);

export function substitute(value, variables) {
  if (typeof value === 'string') {
    const whole = /^\$\{([\w.]+)\}$/.exec(value);
    if (whole) return lookup(variables, whole[1]); // a number stays a number
    return value.replace(/\$\{([\w.]+)\}/g, (_, path) => String(lookup(variables, path)));
  }
  if (Array.isArray(value)) return value.map((item) => substitute(item, variables));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, substitute(item, variables)]));
  }
  return value;
}

const show = (value) => JSON.stringify(value);
const isObject = (value) => value !== null && typeof value === 'object' && !Array.isArray(value);
const isEmpty = (value) => value === undefined || value === null || value === '' || (typeof value === 'object' && Object.keys(value).length === 0);

/** Nothing when `actual` is as expected, else a sentence that says where it is not. */
export function difference(expected, actual, path = '') {
  const where = path || 'the answer';
  if (isObject(expected)) {
    const special = Object.keys(expected).find((key) => key.startsWith('$'));
    if (special) return specialDifference(special, expected[special], actual, where);
    if (!isObject(actual)) return `${where}: expected an object, got ${show(actual)}`;
    for (const [key, item] of Object.entries(expected)) {
      const found = difference(item, actual[key], path ? `${path}.${key}` : key);
      if (found) return found;
    }
    return undefined;
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length !== expected.length) return `${where}: expected ${expected.length} elements, got ${show(actual)}`;
    return expected.map((item, index) => difference(item, actual[index], `${path}[${index}]`)).find(Boolean);
  }
  return expected === actual ? undefined : `${where}: expected ${show(expected)}, got ${show(actual)}`;
}

function specialDifference(name, operand, actual, where) {
  const matched = (item) => (actual ?? []).some((candidate) => !difference(item, candidate));
  const good = {
    $any: () => !isEmpty(actual),
    $none: () => isEmpty(actual),
    $not: () => Boolean(difference(operand, actual)),
    $like: () => actual !== undefined && actual !== null && new RegExp(operand).test(String(actual)),
    $has: () => operand.every(matched),
    $set: () => (actual ?? []).length === operand.length && operand.every(matched),
  }[name]();
  return good ? undefined : `${where}: expected ${name} ${show(operand)}, got ${show(actual)}`;
}

/** One scenario against one server: its variables, and the client that speaks. */
export class World {
  constructor(client, content) {
    this.client = client;
    this.content = content;
    this.variables = {};
  }

  async run(steps) {
    for (const step of steps) {
      if (step.not_for?.[this.client.name]) continue;
      try {
        if (step.issue) this.#issue(step);
        else await this.#call(step);
      } catch (error) {
        error.message = `${step.call ?? 'issue'} ${show(step.with ?? {})}: ${error.message}`;
        throw error;
      }
    }
  }

  #issue(step) {
    const options = ['--role', step.role];
    if (step.authority) options.push('--name', step.authority);
    if (step.curve) options.push('--curve', step.curve);
    if (step.forget_distid) options.push('--forget-distid');
    const done = spawnSync('python3', ['-m', 'harness.authority', process.env.CONFORMANCE_AUTHORITY, 'issue', ...options],
      { input: substitute(step.request, this.variables), encoding: 'utf8' });
    if (done.status !== 0) throw new Error(done.stderr);
    this.variables[step.issue] = JSON.parse(done.stdout);
  }

  async #call(raw) {
    const step = substitute(raw, this.variables);
    let answer;
    if (step.until || step.until_refused) {
      answer = await this.#poll(step);
    } else if (step.refused) {
      this.#checkRefusal(step.seen_by?.[this.client.name] ?? step.refused, await this.#send(step));
      return;
    } else {
      answer = await this.#send(step);
      this.#check(step.expect ?? {}, answer);
    }
    for (const [name, path] of Object.entries(step.save ?? {})) this.variables[name] = lookup(answer, path);
  }

  async #send(step) {
    const [product, action] = step.call.split('.');
    const merged = { ...this.content.defaults?.[product], ...step.with };
    const parameters = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
    const answer = await this.client.call(step.as ?? 'root', product, action, parameters, step.version);
    if (answer instanceof Refusal) covered(step.call, 'refusal', this.client.name, answer.code);
    else covered(step.call, 'success', this.client.name);
    return answer;
  }

  #check(expected, answer) {
    if (answer instanceof Refusal) throw new Error(`refused: ${answer}`);
    const found = difference({ RequestId: { $any: true }, ...expected }, answer);
    if (found) throw new Error(found);
  }

  #checkRefusal(given, answer) {
    if (!(answer instanceof Refusal)) throw new Error(`expected a refusal, got ${show(answer)}`);
    const own = typeof given === 'string' ? { code: given } : given;
    const known = typeof own.code === 'string' ? ERRORS[own.code] : {};
    const wanted = { message: { $any: true }, ...known, ...own, request_id: { $any: true } };
    if (answer.status === undefined) delete wanted.status;
    const found = difference(wanted, { ...answer });
    if (found) throw new Error(`${found}; the refusal was: ${answer}`);
  }

  async #poll(step) {
    const deadline = Date.now() + POLL_DEADLINE;
    for (;;) {
      const answer = await this.#send(step);
      if (answer instanceof Refusal) {
        if (!step.until_refused) throw new Error(`refused: ${answer}`);
        this.#checkRefusal(step.until_refused, answer);
        return undefined;
      }
      const still = step.until ? difference(step.until, answer) : 'still there';
      if (!still) {
        this.#check({}, answer);
        return answer;
      }
      const strange = step.passing && difference(step.passing, answer);
      if (strange) throw new Error(`on the way: ${strange}; wanted in the end: ${still}`);
      if (Date.now() > deadline) throw new Error(`after ${POLL_DEADLINE} ms: ${still}; last answer ${show(answer)}`);
      await sleep(POLL_PAUSE);
    }
  }
}
