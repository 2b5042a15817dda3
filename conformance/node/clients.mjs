// The official Node clients behind one face: `call(principal, product, action, parameters) -> body or Refusal`.
//
// Parameters and body are spelled as on the wire; in between everything goes through the client's own typed classes,
// which throw when a shape is wrong. Every error's type and form is checked here.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import { PRINCIPALS, Refusal } from './scenario.mjs';

// All of these packages are CommonJS.
const require = createRequire(import.meta.url);
const Vpc = require('@alicloud/vpc20160428');
const OpenApi = require('@alicloud/openapi-client');
const Core = require('@alicloud/pop-core');

const REGION = 'cn-hangzhou';
const VERSIONS = { Vpc: '2016-04-28', Kms: '2016-01-20', Sts: '2015-04-01', Location: '2015-06-12', Ram: '2015-05-01' };

export function make(name, endpoint) {
  return { 'node-7.x': () => new Tea(name, endpoint), 'node-pop': () => new Pop(name, endpoint) }[name]();
}

function once(table, key, build) {
  if (!table.has(key)) table.set(key, build());
  return table.get(key);
}

/** Name.1, Tag.1.Key: what a caller of a generic interface writes by hand. */
function flatten(value, prefix = '', flat = {}) {
  if (Array.isArray(value)) value.forEach((item, index) => flatten(item, `${prefix}.${index + 1}`, flat));
  else if (value && typeof value === 'object') Object.entries(value).forEach(([key, item]) => flatten(item, prefix ? `${prefix}.${key}` : key, flat));
  else flat[prefix] = String(value);
  return flat;
}

/** An object of the client's class `kind` from wire names; undefined when the class lacks one of them. */
function typed(kind, wire) {
  const names = kind.names();
  if (Object.keys(wire).some((key) => !Object.values(names).includes(key))) return undefined;
  const properties = {};
  for (const [property, name] of Object.entries(names)) {
    if (!(name in wire)) continue;
    const type = kind.types()[property];
    const item = type.type === 'array' && typeof type.itemType === 'function' ? type.itemType : undefined;
    properties[property] = item ? wire[name].map((element) => typed(item, element)) : wire[name];
  }
  return new kind(properties);
}

/** @alicloud/vpc20160428, typed; for the products it does not cover, the generic @alicloud/openapi-client. */
class Tea {
  #vpc = new Map();
  #generic = new Map();

  constructor(name, endpoint) {
    this.name = name;
    this.host = endpoint.split('://')[1];
  }

  #config(principal) {
    const who = PRINCIPALS[principal];
    return new OpenApi.Config({ accessKeyId: who.access_key_id, accessKeySecret: who.access_key_secret, regionId: REGION, endpoint: this.host, protocol: 'HTTP' });
  }

  async call(principal, product, action, parameters, version) {
    const kind = product === 'Vpc' && !version && Vpc[`${action}Request`];
    const request = kind ? typed(kind, parameters) : undefined;
    return request ? this.#typed(principal, action, request) : this.#any(principal, version ?? VERSIONS[product], action, parameters);
  }

  async #typed(principal, action, request) {
    const client = once(this.#vpc, principal, () => new Vpc.default(this.#config(principal)));
    try {
      const response = await client[action[0].toLowerCase() + action.slice(1)](request);
      assert.equal(response.statusCode, 200);
      return response.body.toMap();
    } catch (error) {
      if (error.name !== 'ClientError' && error.name !== 'ServerError' && error.name !== 'ThrottlingError') throw error;
      assert.equal(error.name, error.statusCode < 500 ? 'ClientError' : 'ServerError');
      return sentence(error, error.statusCode, error.requestId);
    }
  }

  async #any(principal, version, action, parameters) {
    const client = once(this.#generic, principal, () => new OpenApi.default(this.#config(principal)));
    const params = new OpenApi.Params({ action, version, protocol: 'HTTP', pathname: '/', method: 'POST', authType: 'AK', style: 'RPC', reqBodyType: 'formData', bodyType: 'json' });
    try {
      return (await client.callApi(params, new OpenApi.OpenApiRequest({ query: flatten(parameters) }), {})).body;
    } catch (error) {
      if (!error.data?.statusCode) throw error;
      return sentence(error, error.data.statusCode, error.data.RequestId);
    }
  }
}

/** The text of a Tea error is `code: 404, <Message> request id: <RequestId>`. */
function sentence(error, status, requestId) {
  // `.message` of the typed client's error repeats the code in front.
  const text = error.message.slice(error.message.indexOf(`code: ${status}, `));
  const found = /^code: (\d+), (.*) request id: (\S+)$/s.exec(text);
  assert.ok(found, error.message);
  assert.equal(found[3], requestId);
  return new Refusal(error.code, Number(found[1]), found[2], found[3]);
}

/** @alicloud/pop-core: generic, signs the old way, everything in the query of a GET. */
class Pop {
  #clients = new Map();

  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
  }

  async call(principal, product, action, parameters, version = VERSIONS[product]) {
    const who = PRINCIPALS[principal];
    const client = once(this.#clients, `${principal} ${version}`, () => new Core({
      accessKeyId: who.access_key_id, accessKeySecret: who.access_key_secret, endpoint: this.endpoint, apiVersion: version }));
    try {
      // Certificates make a long query: those go by POST, in the body. Reads go by GET, the client's default.
      const method = /^(Upload|Associate|Dissociate)/.test(action) ? 'POST' : 'GET';
      return await client.request(action, parameters, { method, timeout: 10_000 });
    } catch (error) {
      if (!error.data?.Code) throw error;
      assert.equal(error.name, `${error.code}Error`);
      const message = error.message.slice(0, error.message.lastIndexOf(', URL: '));
      return new Refusal(error.code, error.entry.response.statusCode, message, error.data.RequestId);
    }
  }
}
