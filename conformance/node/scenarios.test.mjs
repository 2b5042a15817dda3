// Every case of `cases/*.json`, by the client that CONFORMANCE_CLIENT names.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

// A failure says which call went wrong how; where in the interpreter that was found is noise.
Error.stackTraceLimit = 3;

import { build, look, make, renewing } from './clients.mjs';
import { finished, load, World } from './scenario.mjs';

const NAME = process.env.CONFORMANCE_CLIENT;
const SERVERS = JSON.parse(process.env.CONFORMANCE_SERVERS);

for (const [scenario, endpoint] of Object.entries(SERVERS)) {
  const content = load(scenario);
  const world = new World(make(NAME, endpoint), content);
  let prepared = false;
  let broken;

  async function run(name, steps) {
    if (broken) throw new Error(`not run: ${broken} failed`);
    if (!prepared) {
      prepared = true;
      broken = 'the setup';
      await world.run(content.setup ?? []);
      broken = undefined;
    }
    try {
      await world.run(steps);
    } catch (error) {
      if (content.chained) broken = name;
      throw error;
    }
  }

  describe(scenario, () => {
    for (const { name, steps, not_for: notFor } of content.cases) {
      test(name, { skip: notFor?.[NAME] }, async () => {
        let passed = false;
        try {
          await run(name, steps);
          passed = true;
        } finally {
          finished(NAME, scenario, name, passed);
        }
      });
    }
  });
}

// Sessions that the credentials client takes by itself; only one suite has a server behind TLS.
if (process.env.CONFORMANCE_ENCRYPTED) {
  const title = 'the credentials client renews its sessions';
  test(title, async () => {
    let passed = false;
    try {
      const endpoint = process.env.CONFORMANCE_ENCRYPTED;
      const content = load('ram_sessions');
      const world = new World(make(NAME, endpoint), content);
      await world.run(content.setup);
      const { vpc, credential } = renewing(endpoint, world.variables.alice, world.variables.arn);
      const seen = new Set();
      for (let count = 0; count < 3; count += 1) {
        assert.equal((await look(vpc)).body.totalCount, 0);
        seen.add((await credential.getCredential()).accessKeyId);
      }
      // Of a quarter of an hour it uses nothing up: each call takes a new session.
      assert.ok(seen.size > 1 && [...seen].every((id) => id.startsWith('STS.')), [...seen].join());
      await assert.rejects(build(vpc), (error) => error.code === 'Forbidden' && error.accessDeniedDetail.AuthPrincipalType === 'AssumedRoleUser');
      passed = true;
    } finally {
      finished(NAME, 'encrypted', title, passed);
    }
  });
}
