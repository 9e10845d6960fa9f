import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { parse } from 'graphql';
import { expect, it } from 'vitest';
import { federate } from './federated-graph.ts';

const ROWS = Array.from({ length: 1_000 }, (_, index) => ({ id: String(index), text: `the text of row ${index}` }));
const HELD = 20;

setFlagsFromString('--expose-gc');
const collect = runInNewContext('gc') as () => void;

function heapBytes(): number {
  collect();
  return process.memoryUsage().heapUsed;
}

it('takes no more memory for the text of an answer than the text is long', async () => {
  const { execution } = await federate({
    rows: { sdl: 'type Query { rows: [Row!]! } type Row { id: ID! text: String! }' },
  });
  const program = await execution.compile({ document: parse('{ rows { id text } }') });
  const links = new Map([['rows', { send: () => Promise.resolve({ data: { rows: ROWS } }) }]]);
  const answer = async () => (await program.run({ variables: {}, links, call: null })).json ?? '';
  const { length } = await answer();
  const before = heapBytes();
  const held: string[] = [];
  for (let count = 0; count < HELD; count++) held.push(await answer());
  const bytesEach = (heapBytes() - before) / HELD;
  expect(held).toHaveLength(HELD);
  expect(bytesEach / length).toBeLessThan(1.5);
});
