import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { expect, it } from 'vitest';
import { openHouse } from '../support/house.ts';

const root = resolve(import.meta.dirname, '../..');
const readme = readFileSync(resolve(root, 'README.md'), 'utf8');
const house = await openHouse();

it('the query of the README runs as it is written', async () => {
  const query = /```graphql\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';
  expect(query).toContain('projects(first: 5)');
  const { data, errors } = await house.graphql(house.acme.member, query);
  expect(errors).toBeUndefined();
  expect(data).toMatchObject({ tenant: { slug: 'acme' } });
});

it('every script and file that the README names is there', () => {
  const { scripts } = JSON.parse(readFileSync(resolve(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const named = [...readme.matchAll(/npm (?:run )?(start|test|tour|new|generate|tenon|check|bench)\b/g)].map(
    ([, name]) => name ?? '',
  );
  for (const name of named) expect(scripts, name).toHaveProperty(name);
  for (const [, file] of readme.matchAll(/\]\(([\w./-]+)\)/g))
    expect(() => readFileSync(resolve(root, file ?? '')), file).not.toThrow();
});
