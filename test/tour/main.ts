import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfig } from '#schema/config.ts';
import { send, type Tenant, type Tour } from './client.ts';
import { budgetRunsOut, federatedQuery, partnerIsBound, usageIsBilled } from './graph.ts';
import { entraProvisions, groupCarriesRole, leaverIsOut, oktaProvisions, signsIn } from './people.ts';
import { everyStepIsLogged, eventIsSealed, evidenceIsVerified } from './proof.ts';

// Drives the main job of a running platform from outside, as its users do, and says what each step proves.

const USAGE = `usage: npm run tour [-- options]

Drives the main job against a running platform (npm start) and prints each step with what it proves.
  --url <url>            where it answers (default: http://127.0.0.1:$PORT)
  --credentials <file>   its demo credentials (default: $TENON_HOME/credentials.json)
  --json                 one JSON document instead of sentences
  --help                 this text
Exit code: 0 every step proven, 1 a step failed, 2 used wrongly or nothing answers.`;

const STEPS: readonly {
  readonly name: string;
  readonly proves: string;
  readonly run: (tour: Tour) => Promise<void>;
}[] = [
  { name: 'Okta creates a user over SCIM', proves: 'provisioning in the shapes Okta sends', run: oktaProvisions },
  { name: 'Entra creates a user over SCIM', proves: 'provisioning in the shapes Entra sends', run: entraProvisions },
  {
    name: 'A pushed group carries a role',
    proves: 'the identity provider decides who may do what',
    run: groupCarriesRole,
  },
  { name: 'She signs in', proves: 'one-time links, roles in force at once', run: signsIn },
  { name: 'One query over five subgraphs', proves: 'federation: entities cross subgraphs', run: federatedQuery },
  {
    name: 'A partner runs her operation and no other',
    proves: 'persisted operations bound to the credential',
    run: partnerIsBound,
  },
  { name: 'A budget runs out and refills', proves: 'per-tenant query-cost budgets', run: budgetRunsOut },
  { name: 'Usage becomes a draft invoice', proves: 'metering once a key, exact rating, PDF', run: usageIsBilled },
  { name: 'Whoever leaves is out', proves: 'deactivation ends sessions in the same transaction', run: leaverIsOut },
  { name: 'Every step is in the audit log', proves: 'no change without its event', run: everyStepIsLogged },
  { name: 'The event is sealed and proven', proves: 'archive, signed checkpoint, inclusion proof', run: eventIsSealed },
  {
    name: 'Evidence is verified offline',
    proves: 'integrity and completeness; one changed byte is named',
    run: evidenceIsVerified,
  },
];

interface Outcome {
  readonly step: string;
  readonly proves: string;
  readonly passed: boolean;
  readonly facts: string[];
}

async function main(): Promise<number> {
  const options = {
    url: { type: 'string' },
    credentials: { type: 'string' },
    json: { type: 'boolean' },
    help: { type: 'boolean' },
  } as const;
  const { values } = parseArgs({ options });
  if (values.help === true) return print(USAGE, 0);
  const config = readConfig();
  const url = (values.url ?? `http://127.0.0.1:${config.port}`).replace(/\/$/, '');
  const file = values.credentials ?? join(config.home, 'credentials.json');
  const { tenants } = JSON.parse(readFileSync(file, 'utf8')) as { tenants: Tenant[] };
  const bySlug = Object.fromEntries(tenants.map((tenant) => [tenant.slug, tenant])) as Tour['tenants'];
  const tour = { url, run: Date.now().toString(36), tenants: bySlug, found: new Map<string, string>() };
  const ready = await send(tour as Tour, '/readyz').catch(() => null);
  if (ready?.status !== 200) return print(`nothing ready at ${url}; start it with "npm start"`, 2);
  const outcomes: Outcome[] = [];
  for (const step of STEPS) {
    const outcome = await runStep(tour, step);
    outcomes.push(outcome);
    if (values.json !== true) show(outcome, outcomes.length);
    if (!outcome.passed) break;
  }
  const passed = outcomes.filter((outcome) => outcome.passed).length;
  const code = passed === STEPS.length ? 0 : 1;
  if (values.json === true) return print(JSON.stringify({ url, passed, steps: STEPS.length, outcomes }, null, 2), code);
  return print(`tour: ${passed} of ${STEPS.length} steps proven`, code);
}

async function runStep(tour: Omit<Tour, 'say'>, step: (typeof STEPS)[number]): Promise<Outcome> {
  const facts: string[] = [];
  try {
    await step.run({ ...tour, say: (fact) => facts.push(fact) });
    return { step: step.name, proves: step.proves, passed: true, facts };
  } catch (error) {
    return { step: step.name, proves: step.proves, passed: false, facts: [...facts, (error as Error).message] };
  }
}

function show({ step, proves, passed, facts }: Outcome, number: number): void {
  process.stdout.write(
    `${passed ? '✓' : '✗'} ${String(number).padStart(2)}  ${step}\n       proves: ${proves}\n${facts.map((fact) => `       ${fact}\n`).join('')}`,
  );
}

function print(text: string, code: number): number {
  (code === 2 ? process.stderr : process.stdout).write(`${text}\n`);
  return code;
}

process.exitCode = await main().catch((error: unknown) => print((error as Error).message, 2));
