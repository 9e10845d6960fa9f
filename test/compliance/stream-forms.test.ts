import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { entryLeaf, parseEntry } from '#schema/audit-event.ts';
import { noteVerifier } from '#schema/signed-note.ts';
import { cloudEventsForm } from '../../compliance/streams/forms/cloudevents.ts';
import { STREAM_FORMATTERS } from '../../compliance/streams/forms/form.ts';
import { exportLines, nativeForm } from '../../compliance/streams/forms/native.ts';
import { ocsfClass } from '../../compliance/streams/forms/ocsf-class.ts';
import { ocsfForm } from '../../compliance/streams/forms/ocsf.ts';
import { testEntry } from '../../compliance/streams/test-entry.ts';
import { verifyExportFile } from '../../compliance/verify/export.ts';
import { actionSchemas } from '#schema/audit-actions/index.ts';
import { canonicalBytes, type JsonValue } from '#schema/canonical-json.ts';
import { TEST_SIGNING_KEY } from '../support/signing-key.ts';
import { streamedEntries, TENANT, type EntryDraft } from './streamed-entries.ts';

const SEALED = {
  $enc: { c: 'bm90IHJlYWRhYmxlIHdpdGhvdXQga2V5', i: 'AAECAwQFBgcICQoL', k: 'ABCDEFGHIJKLMNOPQRSTUV' },
};
const DRAFTS: Readonly<Record<string, EntryDraft>> = {
  'api activity': {},
  'account change': {
    event: {
      action: 'user.deactivate',
      resource: { type: 'user', id: 'usr_0006g6rm96e7xaacqhy8tyjgx7', name: SEALED },
      actor: { type: 'api_key', id: 'key_0006g6rm96e7xaacqhy8tyjgx8', ip: SEALED, ua: null },
      session_id: null,
    },
  },
  authentication: {
    outcome: 'denied',
    event: { action: 'sign_in.refuse', actor: { type: 'anonymous', id: null, ip: null, ua: null }, request_id: null },
  },
  'entity management': {
    outcome: 'failure',
    event: {
      action: 'role.delete',
      actor: { type: 'system', id: 'upkeep', ip: null, ua: null },
      ts: '2026-03-01T10:20:30Z',
    },
  },
};
const entries = streamedEntries(Object.values(DRAFTS));
const fixtures = JSON.parse(readFileSync(new URL('stream-forms.json', import.meta.url), 'utf8')) as Record<
  string,
  Record<string, unknown>
>;

describe.each(Object.keys(DRAFTS).map((name, index) => [name, index] as const))('%s', (name, index) => {
  it.each(['native', 'ocsf', 'cloudevents'] as const)('in the form %s is what the fixture says', (form) => {
    const streamed = entries[index];
    if (streamed === undefined) throw new Error('there is an entry of each draft');
    expect(JSON.parse(STREAM_FORMATTERS[form as keyof typeof STREAM_FORMATTERS](streamed))).toEqual(
      fixtures[name]?.[form],
    );
  });
});

describe('every form', () => {
  it.each([
    ['native', nativeForm, (value: Row) => value],
    ['ocsf', ocsfForm, (value: Row) => value['unmapped']?.['tenon'] as Row],
    ['cloudevents', cloudEventsForm, (value: Row) => value['data'] as Row],
  ] as const)('%s gives the bytes that were hashed back, sealed fields and all', (_name, form, native) => {
    for (const streamed of entries) {
      const { entry, leaf } = native(JSON.parse(form(streamed)) as Row);
      const bytes = canonicalBytes(entry as unknown as JsonValue);
      expect(bytes.toString()).toBe(streamed.text);
      expect(entryLeaf(bytes).toString('hex')).toBe(leaf);
      expect(parseEntry(bytes)).toEqual(streamed.entry);
    }
  });

  it('marks a test, which no proof speaks of', () => {
    const test = testEntry(
      { tenant: TENANT, stream: 'str_0006g6rm96e7xaacqhy8tyjgx9', deployment: 'tenon.test' },
      new Date(),
    );
    expect(JSON.parse(nativeForm(test))).toMatchObject({ test: true, proof: null, checkpoint: null });
    expect(JSON.parse(cloudEventsForm(test))).toMatchObject({ tenontest: true, type: 'tenon.audit.audit_stream.test' });
    expect(JSON.parse(ocsfForm(test))).toMatchObject({ unmapped: { tenon: { test: true } } });
  });
});

interface Row {
  readonly [name: string]: Row;
}

describe('entries as an export', () => {
  it('are found sound by the verifier, and not where one letter differs', async () => {
    const lines = exportLines(entries).map((line) => `${line}\n`);
    expect(lines).toHaveLength(entries.length + 1);
    const keys = [noteVerifier(TEST_SIGNING_KEY.name, TEST_SIGNING_KEY.publicKey)];
    const verdict = async (text: string) =>
      (await verifyExportFile({ path: 'x', pieces: piecesOf(text), keys })).integrity.verdict;
    expect(await verdict(lines.join(''))).toBe('pass');
    expect(await verdict(lines.join('').replace('role.delete', 'role.update'))).toBe('fail');
  });
});

describe('the OCSF class of an action', () => {
  it('is one that OCSF has, for every action of the catalogue', () => {
    const classes = actionSchemas().map(({ action }) => ocsfClass(action));
    expect(new Set(classes.map(({ classUid }) => classUid))).toEqual(new Set([3001, 3002, 3004, 6003]));
    for (const { classUid, categoryUid } of classes) expect(Math.floor(classUid / 1000)).toBe(categoryUid);
  });

  it('of an action that nobody knows is API Activity', () => {
    expect(ocsfClass('constructor.toString')).toMatchObject({ classUid: 6003, activityId: 99 });
  });
});

async function* piecesOf(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}
