// Every case of `cases/*.json`, by the client that CONFORMANCE_CLIENT names.

import { describe, test } from 'node:test';

// A failure says which call went wrong how; where in the interpreter that was found is noise.
Error.stackTraceLimit = 3;

import { make } from './clients.mjs';
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
