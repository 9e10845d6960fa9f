import { readFile } from 'node:fs/promises';
import type { PackManifest } from '../verify/pack-manifest.ts';

const SINGLE_FILE = new URL('../verifier/tenon-verify.mjs', import.meta.url);

/** Returns the single-file verifier as packs carry it: the bytes of this program's source. */
export function singleFile(): Promise<Buffer> {
  return readFile(SINGLE_FILE);
}

/** Returns the page that tells how to check a pack, with the platform's verifier and without it. */
export function howTo(kind: PackManifest['kind']): string {
  return `# How to check this pack

Two questions, two answers: was anything changed (integrity), is anything missing (completeness).

## With the verifier

    tenon verify <this zip or the unpacked folder> --key '<verifier key>'

It needs no database and no network. Take the key from the deployment (\`/.well-known/tenon/keys\`) and not from
\`verify/KEYS\`: whoever makes a pack can put a key into it. A checkpoint that you kept yourself, given with
\`--checkpoint\`, shows whether the log was cut or rewritten since.

## With one file

    node verify/tenon-verify.mjs <the unpacked folder> --key '<verifier key>'

Unzip the pack first. The file needs Node 20.19 or newer and nothing else, and is meant to be read before it is believed. Take it
from the project's source rather than from here: whoever makes a pack can put a verifier into it. It checks the signature, every
file and the log; what it leaves to \`tenon verify\`, such as comparing the populations with the log, it says when it is run
without anything. It follows no exchange of the signing key by itself: give each key.

## By hand

1. \`manifest.dsse.json\` is a DSSE envelope (Ed25519) over an in-toto statement that names the SHA-256 of \`manifest.json\`.
2. \`manifest.json\` names every other file with its SHA-256, size and count of rows. Nothing else may be in the pack.
${STEPS[kind]}
\`omissions\` in the manifest names what had to be left out. Where it is not empty, the pack is partial.
`;
}

const SOC2_STEPS = `3. \`log/v1/.../seg/*.jsonl.gz\` holds one audit entry a line, in RFC 8785 form. Leaf = SHA-256(0x00, line). Each entry names
   the leaf before it in \`prev\` and its own place in \`seq\`; the leaves make the tree of RFC 6962.
4. \`head.checkpoint\` in the manifest is a signed note (C2SP) over the size and root of that tree. Fold the leaves and compare.
   Where \`log/frontier.json\` exists, it is the tree before the first segment of the pack.
5. \`populations/<name>.completeness.json\` with source \`log\` names actions: the population is every entry of the window with
   one of them, no more and no fewer. Filter the log and compare \`seq\` and \`leaf\` line by line.
   Source \`database\`: run \`<name>.query.sql\` yourself and compare.
6. To sample, pick row numbers; they are the first column of every table and do not change from one build to the next.
`;

const ACCESS_STEPS = `3. \`data/<store>.json\` and \`.csv\` hold the same rows: everything that one store has of the person;
   \`schema/<store>.json\` is the JSON Schema of a row.
4. \`processing.json\` says what the data are for, how long they are kept, where they lie and where they come from.
   The audit log itself is not in this pack, because it speaks of other people too.
`;

const EXPORT_STEPS = `3. \`data/<table>.csv\` and \`.ndjson\` hold the same rows: all that the tenant has in one table. \`schema/<table>.json\` is the
   JSON Schema of a line. Ids are UUIDs; times are in UTC; large and decimal numbers are texts, so that none is rounded.
   Secrets, their hashes and keys are left out.
4. \`log/v1/.../seg/*.jsonl.gz\` holds the whole audit log, one entry a line, in RFC 8785 form; \`head.checkpoint\` in the manifest
   is the signed note over it. What is personal in it is sealed.
   Each table was read page by page while others wrote: what changed meanwhile may be in it or not.
`;

const STEPS: Readonly<Record<PackManifest['kind'], string>> = {
  soc2: SOC2_STEPS,
  gdpr_access: ACCESS_STEPS,
  tenant_export: EXPORT_STEPS,
};
