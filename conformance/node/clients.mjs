// The official Node clients behind one face: `call(principal, product, action, parameters) -> body or Refusal`.
//
// Parameters and body are spelled as on the wire; in between everything goes through the client's own typed classes,
// which throw when a shape is wrong. Every error's type and form is checked here.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';

import { PRINCIPALS, Refusal, VERSIONS } from './scenario.mjs';

// All of these packages are CommonJS.
const require = createRequire(import.meta.url);
const TYPED = {
  Vpc: require('@alicloud/vpc20160428'),
  Cas: require('@alicloud/cas20200407'),
  Ram: require('@alicloud/ram20150501'),
  Sts: require('@alicloud/sts20150401'),
  ResourceManager: require('@alicloud/resourcemanager20200331'),
};
const OpenApi = require('@alicloud/openapi-client');
const Core = require('@alicloud/pop-core');
const Credentials = require('@alicloud/credentials');

const REGION = 'cn-hangzhou';

export function make(name, endpoint) {
  return { 'node-7.x': () => new Tea(name, endpoint), 'node-pop': () => new Pop(name, endpoint) }[name]();
}

/** Key id, secret and perhaps token: a named principal's, or those of a key or session the server answered. */
function identity(principal) {
  if (typeof principal !== 'string') return principal;
  const { access_key_id: AccessKeyId, access_key_secret: AccessKeySecret } = PRINCIPALS[principal];
  return { AccessKeyId, AccessKeySecret };
}

/** What a client is kept under. */
const nameOf = (principal) => JSON.stringify(principal);

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
    const made = item ? wire[name].map((element) => typed(item, element)) : typeof type === 'function' ? typed(type, wire[name]) : wire[name];
    if (made === undefined || (item && made.includes(undefined))) return undefined;
    properties[property] = made;
  }
  return new kind(properties);
}

/** Whether a structure has a structure in it, which pop-core does not spell out. */
const nested = (parameters) => Object.values(parameters).some((value) => Array.isArray(value)
  && value.some((item) => item && typeof item === 'object' && Object.values(item).some((inner) => inner && typeof inner === 'object')));

/** The typed client of each product in TYPED; for the others, the generic @alicloud/openapi-client. */
class Tea {
  #typedClients = new Map();
  #generic = new Map();

  constructor(name, endpoint) {
    this.name = name;
    [this.protocol, this.host] = endpoint.split('://');
  }

  #config(principal) {
    const who = identity(principal);
    return new OpenApi.Config({
      accessKeyId: who.AccessKeyId, accessKeySecret: who.AccessKeySecret, securityToken: who.SecurityToken, regionId: REGION, endpoint: this.host, protocol: this.protocol.toUpperCase() });
  }

  async call(principal, product, action, parameters, version) {
    const library = version ? undefined : TYPED[product];
    const kind = library?.[`${action}Request`];
    const request = kind ? typed(kind, parameters) : undefined;
    // Operations that have no parameters have no request class either.
    const bare = library?.[`${action}Response`] && !kind && Object.keys(parameters).length === 0;
    return request || bare ? this.#typed(principal, product, action, request) : this.#any(principal, version ?? VERSIONS[product], action, parameters);
  }

  async #typed(principal, product, action, request) {
    const client = once(this.#typedClients, `${product} ${nameOf(principal)}`, () => new TYPED[product].default(this.#config(principal)));
    const method = action[0].toLowerCase() + action.slice(1);
    try {
      const response = request ? await client[method](request) : await client[method]();
      assert.equal(response.statusCode, 200);
      return response.body.toMap();
    } catch (error) {
      if (error.name !== 'ClientError' && error.name !== 'ServerError' && error.name !== 'ThrottlingError') throw error;
      assert.equal(error.name, error.statusCode < 500 ? 'ClientError' : 'ServerError');
      return sentence(error, error.statusCode, error.requestId, error.accessDeniedDetail);
    }
  }

  async #any(principal, version, action, parameters) {
    const client = once(this.#generic, nameOf(principal), () => new OpenApi.default(this.#config(principal)));
    const params = new OpenApi.Params({ action, version, protocol: this.protocol.toUpperCase(), pathname: '/', method: 'POST', authType: 'AK', style: 'RPC', reqBodyType: 'formData', bodyType: 'json' });
    try {
      return (await client.callApi(params, new OpenApi.OpenApiRequest({ query: flatten(parameters) }), {})).body;
    } catch (error) {
      if (!error.data?.statusCode) throw error;
      return sentence(error, error.data.statusCode, error.data.RequestId, error.accessDeniedDetail);
    }
  }
}

/** The text of a Tea error is `code: 404, <Message> request id: <RequestId>`. */
function sentence(error, status, requestId, detail) {
  // `.message` of the typed client's error repeats the code in front.
  const text = error.message.slice(error.message.indexOf(`code: ${status}, `));
  const found = /^code: (\d+), (.*) request id: (\S+)$/s.exec(text);
  assert.ok(found, error.message);
  assert.equal(found[3], requestId);
  return new Refusal(error.code, Number(found[1]), found[2], found[3], detail);
}

/** @alicloud/pop-core: generic, signs the old way, everything in the query of a GET. */
class Pop {
  #clients = new Map();

  constructor(name, endpoint) {
    this.name = name;
    this.endpoint = endpoint;
  }

  async call(principal, product, action, parameters, version = VERSIONS[product]) {
    const who = identity(principal);
    const client = once(this.#clients, `${nameOf(principal)} ${version}`, () => new Core({
      accessKeyId: who.AccessKeyId, accessKeySecret: who.AccessKeySecret, securityToken: who.SecurityToken, endpoint: this.endpoint, apiVersion: version }));
    try {
      // Certificates and policies make a long query: those go by POST, in the body. Reads go by GET, the client's default.
      const method = /^(Upload|Associate|Dissociate|Create|Update|AssumeRole)/.test(action) ? 'POST' : 'GET';
      return await client.request(action, nested(parameters) ? flatten(parameters) : parameters, { method, timeout: 10_000 });
    } catch (error) {
      if (!error.data?.Code) throw error;
      assert.equal(error.name, `${error.code}Error`);
      const message = error.message.slice(0, error.message.lastIndexOf(', URL: '));
      return new Refusal(error.code, error.entry.response.statusCode, message, error.data.RequestId, error.data.AccessDeniedDetail);
    }
  }
}

/**
 * A Vpc client that gets its sessions by itself (@alicloud/credentials, type ram_role_arn); the client and what it signs with.
 * The library speaks HTTPS alone; NODE_EXTRA_CA_CERTS names its trust anchor.
 */
export function renewing(endpoint, key, roleArn) {
  const host = endpoint.split('://')[1];
  const credential = new Credentials.default(new Credentials.Config({
    type: 'ram_role_arn', accessKeyId: key.AccessKeyId, accessKeySecret: key.AccessKeySecret, roleArn, roleSessionName: 'node', roleSessionExpiration: 900, stsEndpoint: host }));
  return { vpc: new TYPED.Vpc.default(new OpenApi.Config({ credential, regionId: REGION, endpoint: host, protocol: 'HTTPS' })), credential };
}

/** What it is asked: a look at the gateways, allowed; and a new VPC, refused. */
export const look = (vpc) => vpc.describeVpnGateways(new TYPED.Vpc.DescribeVpnGatewaysRequest({ regionId: REGION }));
export const build = (vpc) => vpc.createVpc(new TYPED.Vpc.CreateVpcRequest({ regionId: REGION }));
