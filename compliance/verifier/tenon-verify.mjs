#!/usr/bin/env node
// Checks the audit logs, evidence packs, proofs and exports of a Tenon platform: offline, with Node 20.19 or newer and
// nothing else. Read it before you believe it: it goes from the whole to the parts; § is a section of docs/formats.md.
// Two questions. Integrity: is what stands here what was signed? Completeness: is anything missing?
import { isUtf8 } from 'node:buffer';
import { createPublicKey, hash, verify } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

const USAGE = `usage: node tenon-verify.mjs <archive, unpacked pack, proof or NDJSON export> --key '<verifier key>'
  --key KEY           name+id+base64, which you have from elsewhere; may be repeated, as after an exchange of the key
  --checkpoint FILE   a signed head that you kept yourself; may be repeated
Exit code 0: integrity and completeness pass. 1: one fails. 2: one cannot be told, or wrong use.
What it leaves to \`tenon verify\`: zips, CSV, certificates of erasure, proofs without their entry, the form of events, the
populations of packs, statements of exchanged keys, and the platform log with its time stamps and witnesses.`;
const [MAX_FILE, MAX_SEGMENT, MAX_SMALL, MAX_ENTRY] = [256 * 1024 * 1024, 4 * 1024 * 1024, 64 * 1024, 65_535];

function main() {
  const several = { type: 'string', multiple: true, default: [] };
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { key: several, checkpoint: several } });
  must(positionals.length === 1 && values.key.length > 0, USAGE);
  const checkpoints = values.checkpoint.map((file) => readBounded(file, MAX_SMALL));
  const found = verifyPath(positionals[0], { keys: values.key.map(keyOf), checkpoints });
  found.assumptions.push(`you trust ${values.key.join(', ')}, and that nobody else signs with it`);
  for (const question of ['integrity', 'completeness'])
    console.log(`${question}: ${found[question].verdict.toUpperCase()}`, found[question].place ?? '');
  for (const sentence of new Set(found.assumptions)) console.log('assumed:', sentence);
  return [0, 2, 1][Math.max(ORDER.indexOf(found.integrity.verdict), ORDER.indexOf(found.completeness.verdict))];
}
function verifyPath(path, trust) {
  if (!lstatSync(path).isDirectory()) return verifyFile(readBounded(path, MAX_FILE), trust);
  // Links, hidden files and what an archive keeps beside its objects are passed over.
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((file) => relative(path, join(file.parentPath, file.name)).replaceAll('\\', '/')).sort();
  const paths = names.filter((name) => !/(^|\/)\.|\.retention\.jsonl$/.test(name));
  const source = { paths, read: (name, most) => readBounded(join(path, name), most) };
  return paths.includes('manifest.json') ? verifyPack(source, trust) : verifyArchive(source, trust);
}
const verifyFile = (bytes, trust) => (bytes[0] === 0x7b ? verifyExport : verifyProof)(bytes, trust);
function readBounded(path, most) {
  must(lstatSync(path).size <= most, `${path} is longer than ${most} bytes`);
  return readFileSync(path);
}
// ---- Findings: a verdict only gets worse, and keeps the first place of its worst -------------------------------------
const ORDER = ['pass', 'cannot say', 'fail'];
const MISSING = { question: 'completeness' };
const passed = { verdict: 'pass', place: null };
const findings = () => ({ integrity: passed, completeness: passed, assumptions: [], entries: 0 });
function judge(found, verdict, { question = 'integrity', file = null, seq = null, message }) {
  const isWorse = ORDER.indexOf(verdict) > ORDER.indexOf(found[question].verdict);
  if (isWorse) found[question] = { verdict, place: { file, seq, sentence: message } };
}
/** Works up to the first fault. Behind a change nobody can tell what is missing; what follows a gap is joined to nothing. */
function attempt(found, at, work) {
  try {
    work();
  } catch ({ message, question, file = at.file, seq = at.seq }) {
    const other = question ? 'integrity' : 'completeness';
    judge(found, 'fail', { question, file, seq, message });
    judge(found, 'cannot say', { question: other, file, seq, message: 'what follows cannot be relied upon' });
  }
}
/** Ends an attempt unless a condition holds; `place` may name another question, file or first bad `seq`. */
function must(condition, message, place) {
  if (!condition) throw Object.assign(new Error(message), place);
}
/** Ends an attempt where an object has other fields, or says other things, than `truth`. */
function mustBe(object, truth, place) {
  const wrong = Object.keys({ ...object, ...truth }).find((key) => encoded(object[key]) !== encoded(truth[key]));
  must(wrong === undefined, `its ${wrong} is not what it has to be`, place);
}
// ---- An archive: all its logs, and what they say of each other -------------------------------------------------------
export function verifyArchive({ paths, read }, { keys, checkpoints = [] }) {
  const found = findings();
  const heads = checkpoints.map((note) => checkpointOf(note, keys));
  const logs = findLogs({ paths, read }).map((log) => verifyLog(found, log, { keys, heads }));
  const at = (origin) => logs.find((log) => log.origin === origin)?.tree ?? treeOf();
  attempt(found, { seq: 0 }, () => {
    const isThere = (origin) => logs.some((log) => origin.endsWith(`/audit/${log.tenant}/${log.epoch}`));
    for (const { origin, size } of heads.filter((head) => head.size > 0 && head.origin.includes('/audit/')))
      must(isThere(origin), `nothing is there of the ${size} entries of ${origin}`, MISSING);
    if (logs.length === 0) judge(found, 'cannot say', { ...MISSING, message: 'there is no log' });
    const ends = logs.flatMap(({ opened }) => opened); // §5.4 Of epochs, as the first entry of the next names them.
    for (const { previous_origin: name, previous_size: size, previous_root: root } of ends) {
      must(at(name).size >= size, `${name} had ${size} entries`, { ...MISSING, seq: at(name).size });
      must(at(name).size === size && rootOf(at(name)) === root, `${name} had another end`, { seq: size });
    }
  });
  if (paths.some((path) => path.includes('/platform/'))) found.assumptions.push('the platform log was not looked at');
  found.assumptions.push('locks of objects show in the store alone; times of the newest manifest are not signed');
  return found;
}
/** §5 Each log lies in `v1/<region>/<tenant>/<epoch>`; the folders of several cells may lie beside each other. */
function findLogs({ paths, read }) {
  const logs = new Map();
  for (const path of paths) {
    const [folder, root, tenant, epoch] = LOG.exec(path) ?? [];
    if (folder && !logs.has(folder)) logs.set(folder, { folder, root, tenant, epoch, read, paths: [] });
    logs.get(folder)?.paths.push(path);
  }
  return [...logs.values()];
}
const LOG = /^((?:[^/]+\/){0,3}?)v1\/[^/]+\/(tnt_[0-9a-z]{26})\/([1-9]\d{0,8})(?=\/)/;
// ---- §5 The log of a tenant ------------------------------------------------------------------------------------------
/** Follows a log from its first manifest to its last; `start` is the tree before them where a pack begins later. */
function verifyLog(found, log, { keys, heads, start }) {
  const own = heads.filter(({ origin }) => origin.endsWith(`/audit/${log.tenant}/${log.epoch}`));
  const [at, unread, tree] = [{ file: log.folder, seq: start?.size ?? 0 }, new Set(log.paths), treeOf(start)];
  const walk = { ...log, keys, own, at, unread, isPart: !!start, tree, number: 0, prev: ZERO, sha: null, opened: [] };
  attempt(found, at, () => {
    for (const path of log.paths.filter((each) => each.includes('/man/'))) readManifest(walk, path);
    // A segment stands there before its manifest does, and an empty one ends an epoch.
    for (const file of unread) must(/\/seg\/\d{9}\.jsonl\.gz$/.test(file), 'it is no file of a log', { file });
    if (unread.size > 0) found.assumptions.push(`no manifest names ${[...unread].join()}: not read`);
    // What may be missing behind the last manifest only heads can tell that were kept elsewhere.
    const newest = own.reduce((most, { size }) => Math.max(most, size), -1);
    const message = newest < 0 ? 'no head from outside shows what follows' : `a head of ${newest} entries was signed`;
    if (newest < 0 || newest > tree.size)
      judge(found, newest < 0 ? 'cannot say' : 'fail', { ...MISSING, ...at, message });
    else if (newest < tree.size) found.assumptions.push(`nothing is missing before seq ${newest}, where the head ends`);
  });
  found.entries += tree.size - (start?.size ?? 0);
  return walk;
}
/** §5.2 Of a manifest the checkpoint alone is signed; but for four fields it says what follows from the entries. */
function readManifest(walk, path) {
  const { tree, at, unread } = walk;
  at.file = path;
  unread.delete(path);
  const bytes = walk.read(path, MAX_SMALL);
  const { own_sha256: own, ...made } = canonical(bytes);
  const { checkpoint, keys, lock, planned_at, size_after, root_after } = made;
  must(own === sha256(encoded(made)), 'its own hash is not that of its words', { file: path, seq: tree.size });
  const head = checkpointOf(checkpoint, walk.keys);
  const origin = `${head.deployment}/audit/${walk.tenant}/${walk.epoch}`;
  mustBe(head, { ...head, origin, size: size_after, root: root_after });
  // What stands before a part is proved by the signed root behind it; only the links to it are taken from the manifest.
  if (walk.isPart) Object.assign(walk, { number: made.number, sha: made.prev_manifest_sha256, prev: made.first_prev });
  const [sha, size] = [sha256(bytes), tree.size];
  const given = Number(/\/(\d{9})\.json$/.exec(path)?.[1]);
  must(!(given > walk.number), `number ${walk.number} is missing before it`, MISSING);
  must(path === nameOf(walk, 'man'), 'its name is not its own');
  const before = {
    number: walk.number,
    prev_manifest_sha256: walk.sha,
    first_prev: walk.prev,
    root_before: rootOf(tree),
  };
  const read = readSegment(walk, made);
  const after = { count: tree.size - size, size_after: tree.size, root_after: rootOf(tree), last_leaf: walk.prev };
  const facts = { v: 1, origin, first_seq: size, size_before: size, ...before, ...read, ...after };
  mustBe(made, { ...facts, checkpoint, keys, lock, planned_at }, { file: path, seq: size });
  Object.assign(walk, { isPart: false, number: walk.number + 1, sha, origin });
  at.seq = tree.size;
}
const nameOf = ({ folder, number }, kind) =>
  `${folder}/${kind}/${`${number}`.padStart(9, '0')}.json${kind === 'seg' ? 'l.gz' : ''}`;
/** §5.1 Appends the entries of a segment; returns what its manifest has to say of it. */
function readSegment(walk, { segment, size_after: end, last_leaf: last }) {
  const { root, tree, at, unread } = walk;
  at.file = `${root}${segment.key}`;
  must(unread.delete(at.file), `the segment from entry ${tree.size} on is missing`, MISSING);
  const packed = walk.read(at.file, MAX_SEGMENT + MAX_SMALL);
  const bytes = gunzipSync(packed, { maxOutputLength: MAX_SEGMENT });
  const sum = sha256(bytes);
  const key = nameOf(walk, 'seg').slice(root.length);
  const facts = { key, gz_sha256: sha256(packed), gz_size_bytes: packed.length, sha256: sum, size_bytes: bytes.length };
  const times = readLines(walk, bytes, last);
  must(tree.size === end, 'it holds another number of entries', { seq: Math.min(tree.size, end) });
  must(walk.prev === last, 'its last entry is another one', { seq: end - 1 });
  return { ...times, segment: facts };
}
/** §5.3 Each line is the next entry, of this tenant, and names the leaf before it. */
function readLines(walk, bytes, lastLeaf) {
  const { tree, at, own } = walk;
  const [sizes, times] = [new Set(own.map(({ size }) => size)), { first_ts: null, last_ts: null }];
  must(isUtf8(bytes), 'it is no UTF-8');
  for (let start = 0, stop = 0; start < bytes.length; start = stop + 1) {
    stop = bytes.indexOf(0x0a, start);
    at.seq = tree.size;
    must(stop > start, 'it ends within a line');
    const line = bytes.toString('utf8', start, stop);
    const { seq, prev, tenant, ts, action, context } = entryOf(line);
    must(seq === tree.size, 'another entry stands in its place');
    must(tenant === walk.tenant, 'an event is of another tenant than its log');
    if (prev !== walk.prev) {
      // What follows names the leaf of an entry that is untouched: then the one before it was changed.
      const isUntouched = leafOf(line) === lastLeaf || bytes.includes(`"prev":"${leafOf(line)}"`, stop);
      must(false, 'it does not name the leaf before it', { seq: isUntouched && start > 0 ? seq - 1 : seq });
    }
    if (start > 0) bytes[start - 1] = 0x00; // The LF of the line before makes room for the 0x00 of a leaf.
    walk.prev = start > 0 ? sha256(bytes.subarray(start - 1, stop)) : leafOf(line);
    append(tree, walk.prev);
    const isSame = !sizes.has(tree.size) || own.every(({ size, root }) => size !== tree.size || root === rootOf(tree));
    must(isSame, 'an outside head was signed over others');
    if (seq === 0 && action === 'log.epoch_opened') walk.opened = [context];
    [times.first_ts, times.last_ts] = [times.first_ts ?? ts, ts];
  }
  return times;
}
// ---- §8 The proof of one entry, §9.1 exports, each line of which carries its proof -----------------------------------
const PROOF = /^c2sp\.org\/tlog-proof@v1\nextra (.+)\nindex (0|[1-9]\d{0,15})\n((?:.+\n)*)\n([^]*)$/;
export function verifyProof(file, { keys }) {
  const found = findings();
  found.assumptions.push('a proof speaks of one entry alone; whether others are missing only the log can tell');
  attempt(found, {}, () => {
    const [, extra = '', index, lines = '', note = ''] = PROOF.exec(textOf(file)) ?? [];
    const path = lines.split('\n').slice(0, -1).map((line) => base64(line).toString('hex')); // prettier-ignore
    prove(textOf(base64(extra)), { index: Number(index), path, note, keys });
    found.entries = 1;
  });
  return found;
}
/** Shows that an entry stands at its own place in the tree that a trusted key has signed for the log of its tenant. */
function prove(text, { index, path, note, keys }) {
  const { seq, tenant } = entryOf(text);
  const { deployment, origin, size, root } = checkpointOf(note, keys);
  must(origin.startsWith(`${deployment}/audit/${tenant}/`), 'the checkpoint is of another log');
  const isThere = seq === index && index < size && rootAbove(leafOf(text), { index, size, path }) === root;
  must(isThere, 'the entry is not at that place of the signed tree');
  return { origin, size };
}
export function verifyExport(bytes, { keys }) {
  const [found, notes, runs] = [findings(), new Map(), new Map()]; // By epoch; by checkpoint, how far entries count on.
  for (const [index, line] of textOf(bytes).trimEnd().split('\n').entries())
    attempt(found, { file: `line ${index + 1}` }, () => {
      const { checkpoint, entry, epoch, leaf, proof: path, tree_size: size } = JSON.parse(line);
      if (checkpoint !== undefined) return void notes.set(epoch, checkpoint);
      if (path === null) return judge(found, 'cannot say', { message: 'not sealed yet; export again' });
      const [text, note] = [encoded(entry), notes.get(epoch) ?? ''];
      const head = prove(text, { index: entry.seq, path, note, keys });
      const isOwn = leafOf(text) === leaf && head.size === size && head.origin.endsWith(`/${epoch}`);
      must(isOwn, 'its leaf or its checkpoint is another one');
      const { next } = runs.get(note) ?? { next: 0 };
      runs.set(note, { size, next: entry.seq === next ? next + 1 : Number.NaN });
      found.entries += 1;
    });
  const isWhole = runs.size > 0 && [...runs.values()].every(({ next, size }) => next === size);
  if (!isWhole) judge(found, 'cannot say', { ...MISSING, message: 'what a filter left out no export can show' });
  return found;
}
// ---- §10 Evidence packs, unpacked ------------------------------------------------------------------------------------
export function verifyPack(source, { keys, checkpoints = [] }) {
  const [found, at] = [findings(), { file: 'manifest.json' }];
  attempt(found, at, () => {
    const pack = signedManifest(source, keys);
    for (const { what } of pack.omissions) judge(found, 'fail', { ...MISSING, ...at, message: `without ${what}` });
    const named = new Set(['manifest.json', 'manifest.dsse.json', ...pack.files.map(({ path }) => path)]);
    for (const file of source.paths) must(named.has(file), 'the manifest does not name this file', { file });
    for (const { path, bytes, sha256: sum } of pack.files) {
      at.file = path;
      must(source.paths.includes(path), 'the file is missing', MISSING);
      const there = source.read(path, MAX_FILE);
      must(there.length === bytes && sha256(there) === sum, 'it is not the file that the manifest names');
    }
    if (pack.kind === 'gdpr_access') found.assumptions.push('the stores gave every row about the person');
    else verifyLogOfPack(source, { pack, found, keys, checkpoints });
  });
  return found;
}
/** §10.2 A DSSE envelope signs a statement that names the manifest, and the manifest names all other files. */
function signedManifest({ read }, keys) {
  const { payload, payloadType: type, signatures } = JSON.parse(textOf(read('manifest.dsse.json', MAX_FILE)));
  const body = base64(payload);
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
  const isSigned = signatures.some(({ sig }) => keys.some(({ key }) => verify(null, signed, key, base64(sig))));
  must(isSigned && type === 'application/vnd.in-toto+json', 'no trusted key has signed it');
  const bytes = read('manifest.json', MAX_FILE);
  const [pack, statement] = [canonical(bytes), JSON.parse(textOf(body))];
  const subject = [{ digest: { sha256: sha256(bytes) }, name: 'manifest.json' }];
  const predicate = { kind: pack.kind, window: pack.window, tenant: pack.tenant };
  mustBe(statement, { ...statement, subject, predicateType: 'https://tenon.dev/evidence/v1', predicate });
  return pack;
}
/** The log goes up to the head that the manifest names. That populations are what it gives is left to `tenon verify`. */
function verifyLogOfPack(source, { pack, found, keys, checkpoints }) {
  const [log, ...others] = findLogs(source);
  if (!log || !pack.head) return judge(found, 'cannot say', { ...MISSING, message: 'it has no head with its log' });
  must(others.length === 0 && log.root === 'log/' && log.tenant === pack.tenant.id, 'it holds another log');
  const heads = [pack.head.checkpoint, ...checkpoints].map((note) => checkpointOf(note, keys));
  const frontier = 'log/frontier.json';
  const start = source.paths.includes(frontier) ? canonical(source.read(frontier, MAX_SMALL)) : undefined;
  if (start) found.assumptions.push(`no entry before seq ${start.size} belongs to the window of the pack`);
  const { origin } = verifyLog(found, log, { keys, heads, start });
  mustBe(heads[0], { ...heads[0], origin, root: pack.head.root });
}
// ---- §4 Keys, signed notes and checkpoints ---------------------------------------------------------------------------
export function keyOf(line) {
  const [, name = '', id, raw = ''] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
  const typed = base64(raw); // 0x01 for Ed25519, then 32 bytes.
  must(typed.length === 33 && typed[0] === 0x01, `it is no Ed25519 verifier key: ${line}`);
  must(sha256(Buffer.concat([Buffer.from(`${name}\n`), typed])).slice(0, 8) === id, 'the id does not fit the key');
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), typed.subarray(1)]);
  return { name, id, line, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
}
const NOTE = /^((.+)\n(0|[1-9]\d{0,15})\n(.+)\n(?:.+\n)*)\n((?:— [^\s+]+ [A-Za-z0-9+/=]{8,}\n){1,16})$/u;
/** What a note signed by a trusted key says; a line that does not fit its key refuses the note. */
export function checkpointOf(note, keys) {
  const [, signed, origin, digits, root = '', lines = ''] = NOTE.exec(textOf(note)) ?? [];
  const [size, bytes] = [Number(digits), base64(root)];
  let deployment = '';
  must(Number.isSafeInteger(size) && bytes.length === 32, 'it is no checkpoint');
  for (const line of lines.trimEnd().split('\n')) {
    const [, name, raw] = line.split(' ');
    const signature = base64(raw); // Behind 4 bytes of the key's id.
    for (const key of keys.filter((each) => each.name === name && each.id === signature.toString('hex', 0, 4))) {
      must(verify(null, Buffer.from(signed), key.key, signature.subarray(4)), `the signature of ${name} does not fit`);
      deployment ||= name;
    }
  }
  must(deployment, 'no trusted key has signed it');
  return { origin, size, root: bytes.toString('hex'), deployment };
}
// ---- §3 Entries; that an event in one is of the form of §2 is left to `tenon verify` ---------------------------------
const TEXT = String.raw`"(?:[^"\\\0-\x1f]|\\(?:["\\bfnrt]|u00(?:0[1-7bef]|1[0-9a-f])))*"`; // As canonical form spells it.
const PERSONAL = String.raw`(?:${TEXT}|null|\{"\$enc":\{"c":"[\w-]+","i":"[\w-]+","k":"[\w-]+"\}\})`;
const BEFORE_CONTEXT = new RegExp(
  String.raw`^\{"action_version":[1-9]\d{0,9},"event":\{"action":"([a-z0-9_.]+)","actor":\{"id":(?:${TEXT}|null),` +
    String.raw`"ip":${PERSONAL},"type":"[a-z_]+","ua":${PERSONAL}\},"context":(?=\{)`,
);
const BEHIND_CONTEXT = new RegExp(
  String.raw`^,"id":"aud_\w{26}","request_id":(?:${TEXT}|null),"resource":\{"id":${TEXT},"name":${PERSONAL},` +
    String.raw`"type":"\w+"\},"session_id":(?:${TEXT}|null),"tenant_id":"(\w+)","ts":"([0-9TZ:.-]+)"\},` +
    String.raw`"outcome":"(?:success|denied|failure)","prev":"([0-9a-f]{64})","seq":(0|[1-9]\d{0,15}),"v":1\}$`,
);
/** What an entry says of itself. Patterns tell its form and canonical spelling at a fraction of what parsing costs. */
export function entryOf(text) {
  const end = text.lastIndexOf(',"id":"aud_'); // Within a text its quotes would be escaped.
  const [before = '', action] = BEFORE_CONTEXT.exec(text) ?? [];
  const [behind, tenant, ts, prev, digits] = BEHIND_CONTEXT.exec(text.slice(end)) ?? [];
  must(before && behind && Buffer.byteLength(text) <= MAX_ENTRY, 'it is no entry');
  const [context, seq] = [canonical(text.slice(before.length, end)), Number(digits)];
  must(Number.isSafeInteger(seq) && (seq === 0) === (prev === ZERO), 'it has no place');
  return { seq, prev, tenant, ts, action, context };
}
// ---- §3 Leaves and trees (RFC 6962), §8 the path from a leaf to the root ---------------------------------------------
const ZERO = '0'.repeat(64);
export const leafOf = (entry) => sha256(Buffer.concat([Buffer.of(0x00), Buffer.from(entry)]));
const inner = Buffer.alloc(65, 0x01);
function nodeOf(left, right) {
  inner.write(left + right, 1, 'hex');
  return sha256(inner);
}
/** A growing tree: its size, and the roots of its complete subtrees, widest first. */
const treeOf = ({ size, nodes } = { size: 0, nodes: [] }) => ({ size, nodes: [...nodes] });
const rootOf = ({ nodes }) => (nodes[0] ? nodes.reduceRight((right, left) => nodeOf(left, right)) : sha256(''));
function append(tree, leaf) {
  let node = leaf;
  for (let index = tree.size++; index % 2 === 1; index = (index - 1) / 2) node = nodeOf(tree.nodes.pop(), node);
  tree.nodes.push(node);
}
/** The root that a leaf has with its audit path: a tree is parted at the largest power of two below its size. */
export function rootAbove(leaf, { index, size, path }) {
  must((size === 1) === (path.length === 0), 'the path has another length');
  if (size === 1) return leaf;
  let split = 1;
  while (split * 2 < size) split *= 2;
  const [below, sibling] = [path.slice(0, -1), path.at(-1)];
  if (index < split) return nodeOf(rootAbove(leaf, { index, size: split, path: below }), sibling);
  return nodeOf(sibling, rootAbove(leaf, { index: index - split, size: size - split, path: below }));
}
// ---- §1 Canonical JSON (RFC 8785), base64, hashes --------------------------------------------------------------------
export function canonical(bytes) {
  const text = textOf(bytes);
  const value = JSON.parse(text);
  // Most texts are told by the first half alone, at a fraction of the cost.
  const isPlain = JSON.stringify(value) === text && isSorted(value) && !text.includes('\\ud');
  must(isPlain || encoded(value) === text, 'it is not in the canonical form of RFC 8785');
  return value;
}
function isSorted(value) {
  if (typeof value !== 'object' || value === null) return true;
  const isRising = Object.keys(value).every((key, index, keys) => index === 0 || keys[index - 1] < key);
  return (isRising || Array.isArray(value)) && Object.values(value).every(isSorted);
}
function encoded(value) {
  if (typeof value === 'string') must(value.isWellFormed(), 'a text is not well-formed');
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(encoded).join()}]`;
  const keys = Object.keys(value).sort(); // By UTF-16 units.
  return `{${keys.map((key) => `${encoded(key)}:${encoded(value[key])}`).join()}}`;
}
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const textOf = (bytes) => (typeof bytes === 'string' ? bytes : utf8.decode(bytes));
function base64(text) {
  const bytes = Buffer.from(text, 'base64');
  must(bytes.toString('base64') === text, 'it is not base64');
  return bytes;
}
const sha256 = (bytes) => hash('sha256', bytes, 'hex');
if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename) {
  try {
    process.exitCode = main();
  } catch ({ message }) {
    console.error(message);
    process.exitCode = 2;
  }
}
