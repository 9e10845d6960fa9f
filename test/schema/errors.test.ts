import { readdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { asTenonError, ERRORS, fail, TenonError } from '#schema/errors.ts';

const root = resolve(import.meta.dirname, '../..');
const textOf = (folders: string[]) =>
  folders
    .flatMap((folder) =>
      readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((file) => join(root, folder, file)),
    )
    .filter(
      (file) => file.endsWith('.ts') && !file.endsWith('schema/errors.ts') && !file.endsWith('schema/errors.test.ts'),
    )
    .map((file) => readFileSync(file, 'utf8'))
    .join('\n');

describe('the error table', () => {
  const code = textOf(['schema', 'subgraphs', 'gateway', 'compliance']);
  const tests = textOf(['test']);
  const readme = readFileSync(join(root, 'README.md'), 'utf8');

  it.each(Object.keys(ERRORS))('%s is documented, thrown somewhere and tested', (name) => {
    // Booleans, so that a failure does not print the whole program.
    expect(readme.includes(`\`${name}\``)).toBe(true);
    expect(code.includes(`'${name}'`)).toBe(true);
    expect(tests.includes(`'${name}'`) || tests.includes(`"${name}"`)).toBe(true);
  });

  it('has a sentence and a status of HTTP for every code', () => {
    for (const { message, status } of Object.values(ERRORS)) {
      expect(message).toMatch(/^[A-Z].{10,}\.$/);
      expect(status).toBeGreaterThanOrEqual(400);
      expect(status).toBeLessThan(600);
    }
  });
});

describe('an error', () => {
  it('keeps its internal text inside', () => {
    const error = new TenonError('CONFLICT', 'row 7 of table x', { hint: 'Use another name.' });
    expect(error.publicMessage).toBe('The request conflicts with what is already stored. Use another name.');
    expect(error.publicMessage).not.toContain('row 7');
  });

  it('that nobody foresaw becomes INTERNAL_SERVER_ERROR and keeps its cause', () => {
    const cause = new TypeError('x is undefined');
    expect(asTenonError(cause)).toMatchObject({ code: 'INTERNAL_SERVER_ERROR', cause });
    expect(asTenonError('text').message).toBe('text');
    expect(() => fail('NOT_FOUND', 'nothing')).toThrow(TenonError);
  });
});
