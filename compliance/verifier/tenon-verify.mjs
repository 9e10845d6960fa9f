#!/usr/bin/env node
/* oxlint-disable max-lines -- one file, so that it can be taken along and read whole */
// Checks the audit logs, evidence packs, proofs and exports of a Tenon platform: offline, with Node 20.19 or newer and
// nothing else. Read it before you believe it: each part rests on those above, and § is a section of docs/formats.md.
// Two questions. Integrity: is what stands here what was signed? Completeness: is anything missing?
import { isUtf8 } from 'node:buffer';
import { createPublicKey, hash, verify } from 'node:crypto';
import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';

/** Ends a check unless a condition holds; `place` says which question fails (else integrity) and the first bad `seq`. */
const must = (condition, sentence, place = {}) => {
  if (!condition) throw Object.assign(new Error(sentence), place);
};

// ---- §1 Canonical JSON (RFC 8785), hashes ----------------------------------------------------------------------------

const textOf = (bytes) => {
  must(typeof bytes === 'string' || isUtf8(bytes), 'it is no UTF-8');
  return typeof bytes === 'string' ? bytes : Buffer.from(bytes).toString();
};
const encoded = (value) => {
  must(typeof value !== 'string' || value.isWellFormed(), 'a text is not well-formed');
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(encoded).join()}]`;
  const keys = Object.keys(value).sort(); // By UTF-16 units.
  return `{${keys.map((key) => `${encoded(key)}:${encoded(value[key])}`).join()}}`;
};
const isSorted = (value) => {
  if (value === null || typeof value !== 'object') return true;
  if (Array.isArray(value)) return value.every(isSorted);
  const keys = Object.keys(value);
  return keys.every((key, index) => (index === 0 || keys[index - 1] < key) && isSorted(value[key]));
};
export const canonical = (bytes) => {
  const text = textOf(bytes);
  const value = JSON.parse(text);
  // Most texts are told by this alone, at a fraction of the cost.
  if (JSON.stringify(value) === text && isSorted(value) && !text.includes('\\ud')) return value;
  must(encoded(value) === text, 'it is not in the canonical form of RFC 8785');
  return value;
};
/** Whether a value is an object of exactly these keys in their order. */
const has = (value, keys) => value?.constructor === Object && Object.keys(value).join() === keys;
const base64 = (text) => {
  const bytes = Buffer.from(text, 'base64');
  must(bytes.toString('base64') === text, 'it is not base64');
  return bytes;
};
const sha256 = (bytes) => hash('sha256', bytes, 'hex');

// ---- §3 Leaves and trees (RFC 6962), §8 the path from a leaf to the root ---------------------------------------------

const ZERO = '0'.repeat(64);
export const leafOf = (entry) => sha256(Buffer.concat([Buffer.of(0x00), Buffer.from(entry)]));
const inner = Buffer.alloc(65, 0x01);
const nodeOf = (left, right) => {
  inner.write(left, 1, 'hex');
  inner.write(right, 33, 'hex');
  return sha256(inner);
};
/** A growing tree: its size, and the roots of its complete subtrees, widest first. */
const treeOf = ({ size, nodes } = { size: 0, nodes: [] }) => ({ size, nodes: [...nodes] });
const append = (tree, leaf) => {
  tree.nodes.push(leaf);
  for (let index = tree.size++; index % 2 === 1; index = (index - 1) / 2) {
    const right = tree.nodes.pop();
    tree.nodes.push(nodeOf(tree.nodes.pop(), right));
  }
};
const rootOf = ({ nodes }) =>
  nodes.length === 0 ? sha256('') : nodes.reduceRight((right, left) => nodeOf(left, right));
/** RFC 9162 section 2.1.3.2. */
export const isIncluded = ({ leaf, index, size, path, root }) => {
  let [at, last, top] = [index, size - 1, leaf];
  for (const sibling of path) {
    if (last === 0) return false;
    if (at % 2 === 1 || at === last) {
      top = nodeOf(sibling, top);
      for (; at % 2 === 0 && at !== 0; at /= 2) last = Math.floor(last / 2);
    } else top = nodeOf(top, sibling);
    [at, last] = [Math.floor(at / 2), Math.floor(last / 2)];
  }
  return index < size && last === 0 && top === root;
};

// ---- §3 Entries; that an event in one is of the form of §2 is left to `tenon verify` --------------------------------

const TEXT = String.raw`"(?:[^"\\\0-\x1f]|\\(?:["\\bfnrt]|u00(?:0[1-7bef]|1[0-9a-f])))*"`; // As canonical form spells it.
const PERSONAL = String.raw`(?:${TEXT}|null|\{"\$enc":\{"c":"[\w-]+","i":"[\w-]+","k":"[\w-]+"\}\})`;
const BEFORE_CONTEXT = new RegExp(
  String.raw`^\{"action_version":[1-9]\d{0,9},"event":\{"action":"([a-z0-9_.]+)","actor":\{"id":(?:${TEXT}|null),` +
    String.raw`"ip":${PERSONAL},"type":"[a-z_]+","ua":${PERSONAL}\},"context":`,
);
const BEHIND_CONTEXT = new RegExp(
  String.raw`^,"id":"aud_\w{26}","request_id":(?:${TEXT}|null),"resource":\{"id":${TEXT},"name":${PERSONAL},` +
    String.raw`"type":"\w+"\},"session_id":(?:${TEXT}|null),"tenant_id":"(\w+)","ts":"[0-9TZ:.-]+"\},` +
    String.raw`"outcome":"(?:success|denied|failure)","prev":"([0-9a-f]{64})","seq":(0|[1-9]\d{0,15}),"v":1\}$`,
);

/** What an entry says of itself. Patterns tell its form and its canonical spelling at a fraction of what parsing costs. */
export const entryOf = (text) => {
  const [before, action] = BEFORE_CONTEXT.exec(text) ?? [];
  const end = text.lastIndexOf(',"id":"aud_'); // Within a text its quotes would be escaped.
  const [behind, tenant, prev, digits] = BEHIND_CONTEXT.exec(text.slice(end)) ?? [];
  must(before && behind && Buffer.byteLength(text) <= 65_535, 'it is no entry');
  const [context, seq] = [canonical(text.slice(before.length, end)), Number(digits)];
  must(context?.constructor === Object, 'it has no context');
  must(Number.isSafeInteger(seq) && (seq === 0) === (prev === ZERO), 'it has no place');
  return { seq, prev, event: { tenant_id: tenant, action, context } };
};

// ---- §4 Signed notes and checkpoints, §7 keys and their rotation -----------------------------------------------------

export const keyOf = (line) => {
  const [, name = '', id, raw = ''] = /^([^+\s]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(line) ?? [];
  const typed = base64(raw); // 0x01 for Ed25519, then 32 bytes.
  must(typed.length === 33 && typed[0] === 0x01, `it is no Ed25519 verifier key: ${line}`);
  must(sha256(Buffer.concat([Buffer.from(`${name}\n`), typed])).slice(0, 8) === id, 'the id does not fit the key');
  const der = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), typed.subarray(1)]);
  return { name, id, line, key: createPublicKey({ key: der, format: 'der', type: 'spki' }) };
};
const openNote = (note, keys) => {
  const split = note.lastIndexOf('\n\n');
  const lines = note.slice(split + 2, -1).split('\n');
  const isNote = split >= 0 && note.endsWith('\n') && lines.length <= 16 && !/[^\n -\uffff]/.test(note);
  must(isNote, 'it is no signed note');
  const signed = note.slice(0, split + 1);
  const signers = new Set();
  for (const line of lines) {
    const [, name, raw = ''] = /^— ([^\s+]+) ([A-Za-z0-9+/=]+)$/u.exec(line) ?? [];
    const bytes = base64(raw);
    must(bytes.length >= 5, 'a signature line is malformed');
    const known = keys.filter((key) => key.name === name && key.id === bytes.toString('hex', 0, 4));
    const signer = known.find(({ key }) => verify(null, Buffer.from(signed), key, bytes.subarray(4)));
    must(signer || known.length === 0, `the signature of ${name} does not fit the text`);
    if (signer) signers.add(signer);
  }
  must(signers.size > 0, 'no trusted key has signed it');
  return { signed, signers: [...signers] };
};
export const checkpointOf = (note, keys) => {
  const { signed, signers } = openNote(textOf(note), keys);
  const [, origin, digits, root = ''] = /^(.+)\n(0|[1-9]\d{0,15})\n(.+)\n(?:.+\n)*$/.exec(signed) ?? [];
  const [size, bytes] = [Number(digits), base64(root)];
  must(Number.isSafeInteger(size) && bytes.length === 32, 'it is no checkpoint');
  return { origin, size, root: bytes.toString('hex'), deployment: signers[0].name };
};
const rotationOf = (note) => {
  const text = note.slice(0, note.lastIndexOf('\n\n') + 1);
  const [, name, old = '', next = '', time] = /^(.+)\/keys\/[1-9]\d{0,8}\n(.+)\n(.+)\n(.+)\n$/.exec(text) ?? [];
  const pair = [keyOf(old), keyOf(next)];
  must(
    pair.every((key) => key.name === name) && old !== next && Date.parse(time) > 0,
    'it is no statement of a rotation',
  );
  must(openNote(note, pair).signers.length === 2, 'not both keys have signed the rotation');
  return pair;
};
/** The given keys, and those that statements signed by old and new key lead to; contradicting ones are not followed. */
export const withRotations = (keys, statements) => {
  const pairs = statements.map(rotationOf);
  const trusted = new Map(keys.map((key) => [key.line, key]));
  for (const line of trusted.keys()) {
    const nexts = new Map(pairs.filter(([old]) => old.line === line).map(([, next]) => [next.line, next]));
    if (nexts.size === 1) for (const [next, key] of nexts) trusted.set(next, key); // The loop comes to it as well.
  }
  return [...trusted.values()];
};

// ---- Findings: a verdict only gets worse, and keeps the first place of its worst -------------------------------------

const ORDER = ['pass', 'cannot say', 'fail'];
const findings = () => ({
  integrity: { verdict: 'pass', place: null },
  completeness: { verdict: 'pass', place: null },
  assumptions: [],
  counts: { logs: 0, segments: 0, entries: 0 },
});
const judge = (found, [question, verdict, sentence], { file = null, seq = null } = {}) => {
  if (ORDER.indexOf(verdict) > ORDER.indexOf(found[question].verdict))
    found[question] = { verdict, place: { file, seq, sentence } };
};
/** Works up to the first fault. Behind a change nobody can tell what is missing; what follows a gap is joined to nothing. */
const judged = (found, at, work) => {
  try {
    work();
  } catch (error) {
    const { question = 'integrity', message, ...place } = error;
    const other = question === 'integrity' ? 'completeness' : 'integrity';
    judge(found, [question, 'fail', message], { ...at, ...place });
    judge(found, [other, 'cannot say', 'what follows cannot be relied upon'], { ...at, ...place });
  }
};
const most = (heads) => heads.reduce((size, head) => Math.max(size, head.size), -1);

// ---- §5 The log of a tenant in an archive ----------------------------------------------------------------------------

const MANIFEST =
  'checkpoint,count,first_prev,first_seq,first_ts,keys,last_leaf,last_ts,lock,number,origin,planned_at,' +
  'prev_manifest_sha256,root_after,root_before,segment,size_after,size_before,v';
const MAX_SEGMENT = 4 * 1024 * 1024;

/** §5.3 Goes through manifests and segments, and returns where they end; `start` is the tree before them, if not empty. */
const verifyLog = (found, log, { keys, heads, start }) => {
  const own = heads.filter(({ origin }) => origin.endsWith(`/audit/${log.tenant}/${log.epoch}`));
  const at = { file: log.folder, seq: start?.size ?? 0 };
  const walk = { log, keys, own, at, tree: treeOf(start), sha: null, prev: ZERO, number: 0, isPart: Boolean(start) };
  judged(found, at, () => {
    const unread = new Set(log.paths);
    for (const path of log.paths.filter((each) => /\/man\/\d{9}-[0-9a-f]{16}\.json$/.test(each))) {
      at.file = path;
      const made = manifestOf(walk, path);
      followOn(walk, made);
      at.file = log.root + made.segment.key;
      must(unread.has(at.file), `the segment from entry ${at.seq} on is missing`, { question: 'completeness' });
      readSegment(walk, made);
      for (const read of [path, at.file]) unread.delete(read);
      found.counts.segments += 1;
      found.counts.entries += made.count;
    }
    // A segment stands there before its manifest does, and a worker that came too late may leave one.
    for (const file of unread)
      must(/\/seg\/\d{9}-[0-9a-f]{16}\.jsonl\.gz$/.test(file), 'it is no file of a log', { file });
    if (unread.size > 0) found.assumptions.push(`no manifest names ${[...unread].join()}: not read`);
    judgeEnd(found, own, at);
  });
  found.counts.logs += 1;
  return { ...walk, size: at.seq, region: log.region, origin: walk.origin ?? '' };
};

/** §5.2 Of a manifest the checkpoint alone is signed; the rest leads to the segment, and to the place of a fault. */
const manifestOf = ({ log, keys }, path) => {
  const bytes = log.read(path, 64 * 1024);
  const made = canonical(bytes);
  const { origin, segment, checkpoint, count, size_before: before, size_after: after } = made;
  must(has(made, MANIFEST) && made.v === 1, 'it has not exactly its fields');
  must(has(segment, 'gz_sha256,gz_size_bytes,key,sha256,size_bytes'), 'its segment has not exactly its fields');
  const head = checkpointOf(checkpoint, keys);
  must(origin === `${head.deployment}/audit/${log.tenant}/${log.epoch}`, 'it is of another log');
  const isSigned = head.origin === origin && head.size === after && head.root === made.root_after;
  must(isSigned, 'its checkpoint was signed for another log, size or root');
  const name = (kind, sum) => `${log.place}/${kind}/${`${made.number}`.padStart(9, '0')}-${`${sum}`.slice(0, 16)}.json`;
  must(path === log.root + name('man', sha256(bytes)), 'its name is not its own');
  must(segment.key === `${name('seg', segment.sha256)}l.gz`, 'it names its segment wrongly');
  must(count > 0 && made.first_seq === before && before + count === after, 'its sizes contradict each other');
  return { ...made, sha: sha256(bytes) };
};

const followOn = (walk, made) => {
  const { number, size_before: size, root_before: root, prev_manifest_sha256: sha, first_prev: prev } = made;
  if (walk.isPart) Object.assign(walk, { number, sha, prev, isPart: false }); // The root behind it will prove them.
  must(number <= walk.number, `manifest ${walk.number} is missing before it`, { question: 'completeness' });
  must(number === walk.number, 'the log forks: two manifests of one number were signed');
  must(size === walk.tree.size && root === rootOf(walk.tree), 'it does not go on from the tree before it');
  must(sha === walk.sha && prev === walk.prev, 'it does not go on from the manifest before it');
  Object.assign(walk, { number: number + 1, sha: made.sha, origin: made.origin, plannedAt: made.planned_at });
};

/** §5.1 Lines first, for they tell which entry is bad. */
const readSegment = (walk, made) => {
  const { log, at, tree } = walk;
  const { segment, size_after: after } = made;
  const packed = log.read(at.file, MAX_SEGMENT + 64 * 1024);
  const bytes = gunzipSync(packed, { maxOutputLength: MAX_SEGMENT, chunkSize: 256 * 1024 });
  const [sum, first] = [sha256(bytes), at.seq];
  readLines(bytes, walk, made.last_leaf);
  must(tree.size === after, 'it holds another number of entries', { seq: Math.min(tree.size, after) });
  must(walk.prev === made.last_leaf, 'its last entry is another one', { seq: after - 1 });
  const isPacked = packed.length === segment.gz_size_bytes && sha256(packed) === segment.gz_sha256;
  must(isPacked, 'the packed segment is another one', { seq: null });
  const isNamed = bytes.length === segment.size_bytes && sum === segment.sha256;
  must(isNamed, 'the unpacked segment is another one', { seq: first });
  must(rootOf(tree) === made.root_after, 'the entries are not those whose root was signed', { seq: first });
  at.seq = after;
};

const readLines = (bytes, walk, lastLeaf) => {
  const { tree, at, log } = walk;
  const heads = new Map(walk.own.map((head) => [head.size, walk.own.filter(({ size }) => size === head.size)]));
  must(isUtf8(bytes), 'it is no UTF-8');
  for (let start = 0, stop = 0; start < bytes.length; start = stop + 1) {
    stop = bytes.indexOf(0x0a, start);
    at.seq = tree.size;
    must(stop > start, 'it ends within a line');
    const line = bytes.toString('utf8', start, stop);
    const { seq, prev, event } = entryOf(line);
    must(seq === tree.size, 'another entry stands in its place');
    must(event.tenant_id === log.tenant, 'an event is of another tenant than its log');
    if (prev !== walk.prev) {
      // What follows names the leaf of an entry that is untouched: then the one before it was changed.
      const next = bytes.toString('utf8', stop + 1, Math.max(stop + 1, bytes.indexOf(0x0a, stop + 1)));
      const isUntouched = next === '' ? leafOf(line) === lastLeaf : next.includes(`"prev":"${leafOf(line)}"`);
      must(false, 'it does not name the leaf before it', { seq: isUntouched && start > 0 ? seq - 1 : seq });
    }
    if (start > 0) bytes[start - 1] = 0x00; // The LF of the line before makes room for the 0x00 of a leaf.
    walk.prev = start > 0 ? sha256(bytes.subarray(start - 1, stop)) : leafOf(line);
    append(tree, walk.prev);
    for (const { root } of heads.get(tree.size) ?? [])
      must(root === rootOf(tree), 'an outside head was signed over others');
    if (seq === 0 && event.action === 'log.epoch_opened') walk.opened = event.context;
  }
};

/** What may be missing behind the last manifest. */
const judgeEnd = (found, own, at) => {
  const given = most(own.filter((head) => !head.behind)); // The others were told by the platform log.
  const [known, told] = [most(own.filter((head) => head.isVouched !== false)), most(own)];
  const say = (verdict, sentence) => judge(found, ['completeness', verdict, sentence], at);
  if (given > at.seq) say('fail', `a head of ${given} entries was signed`);
  else if (told > at.seq) say('cannot say', `the platform log knew ${told} entries: not sealed yet, or missing`);
  else if (known < 0) say('cannot say', 'no head from outside shows what follows');
  else if (known < at.seq)
    found.assumptions.push(`nothing is missing before seq ${known}, where the outside head ends`);
};

// ---- §6 The platform log of a region: each minute it commits to the head of every tenant's log -----------------------

const MAX_FILE = 256 * 1024 * 1024;

const verifyPlatform = (found, log, { keys, heads }) => {
  const at = { file: log.folder };
  const state = { log, keys, heads, tree: treeOf(), prev: ZERO, time: '', known: new Map(), told: [] };
  judged(found, at, () => {
    for (const [index, path] of log.paths.filter((each) => each.includes('/cp/')).entries()) {
      at.file = path;
      const [, number, sum] = /(\d{9})-([0-9a-f]{16})\.json\.gz$/.exec(path) ?? [];
      must(Number(number) === index, `tick ${index} is missing before it`, { question: 'completeness' });
      const bytes = gunzipSync(log.read(path, MAX_FILE), { maxOutputLength: MAX_FILE });
      must(sha256(bytes).startsWith(sum), 'its name is not its own');
      readTick(canonical(bytes), state);
    }
    const newest = most(heads.filter(({ origin }) => origin === state.origin));
    must(newest <= state.tree.size, `a head of ${newest} platform entries was signed`, { question: 'completeness' });
    if (newest < 0)
      found.assumptions.push(`the platform log ends at ${state.time}, as only an outside head could show`);
    for (const head of state.told) head.isVouched = head.behind <= newest;
  });
  return { ...state, region: log.region };
};

const readTick = (tick, state) => {
  const { tree, known, heads, told } = state;
  must(has(tick, 'checkpoint,entries,heads,v') && tick.v === 1, 'it has not exactly its fields');
  const behind = tree.size + tick.entries.length;
  for (const head of tick.heads.map(canonical)) {
    must(has(head, 'events,mutations,origin,root,size,v') && head.v === 1, 'a head has not exactly its fields');
    must((known.get(head.origin)?.size ?? 0) <= head.size, `the log ${head.origin} has shrunk`);
    known.set(head.origin, { size: head.size, leaf: leafOf(encoded(head)) });
    told.push({ ...head, behind, isVouched: false });
  }
  for (const line of tick.entries) readPlatformEntry(line, tree.size === behind - 1, state);
  const { deployment, origin, size, root } = checkpointOf(tick.checkpoint, state.keys);
  state.origin ??= origin;
  const isOwn = origin.startsWith(`${deployment}/platform/`) && origin.endsWith(`/${state.log.epoch}`);
  must(isOwn && origin === state.origin, 'its checkpoint is of another log');
  must(size === tree.size && root === rootOf(tree), 'its checkpoint was signed over other entries');
  const isForked = heads.some((head) => head.origin === origin && head.size === size && head.root !== root);
  must(!isForked, 'an outside head was signed over other entries');
};

const readPlatformEntry = (line, isLast, state) => {
  const entry = canonical(line);
  const keys = isLast ? 'at,heads_root,kind,number,prev,tenants,v' : 'at,detail,kind,number,prev,type,v';
  must(has(entry, keys) && entry.v === 1 && entry.kind === (isLast ? 'heads' : 'event'), 'an entry is not of its form');
  const isNext = entry.number === state.tree.size && entry.prev === state.prev && entry.at >= state.time;
  must(isNext, 'an entry does not go on from the one before');
  if (isLast) {
    const tree = treeOf(); // Over all heads in the order of the bytes of their origins.
    const order = [...state.known].sort(([one], [other]) => Buffer.compare(Buffer.from(one), Buffer.from(other)));
    for (const [, { leaf }] of order) append(tree, leaf);
    must(entry.tenants === tree.size && entry.heads_root === rootOf(tree), 'the heads are not those that it names');
  }
  [state.prev, state.time] = [leafOf(line), entry.at];
  append(state.tree, state.prev);
};

// ---- An archive: all its logs, and what they say of each other -------------------------------------------------------

const PLACE = /^((?:[^/]+\/){0,3}?)(v1\/([^/]+)\/(platform|tnt_[0-9a-z]{26})\/([1-9]\d{0,8}))\/./;

const findLogs = ({ paths, read }) => {
  const logs = new Map();
  for (const path of paths) {
    const [, root, place, region, tenant, epoch] = PLACE.exec(path) ?? [];
    const log = logs.get(root + place) ?? { folder: root + place, root, place, region, tenant, epoch, read, paths: [] };
    log.paths.push(path);
    if (place) logs.set(log.folder, log);
  }
  return [...logs.values()];
};

export const verifyArchive = (source, { keys: given, checkpoints = [] }) => {
  const found = findings();
  const statements = source.paths.filter((path) => /(^|\/)v1\/[^/]+\/keys\/\d{9}-[0-9a-f]{16}\.note$/.test(path));
  const keys = withRotations(
    given,
    statements.map((path) => textOf(source.read(path, 64 * 1024))),
  );
  const heads = checkpoints.map((note) => checkpointOf(note, keys));
  const all = findLogs(source);
  const platforms = all
    .filter(({ tenant }) => tenant === 'platform')
    .map((log) => verifyPlatform(found, log, { keys, heads }));
  const known = [...heads, ...platforms.flatMap(({ told }) => told)];
  const tenants = all.filter(({ tenant }) => tenant !== 'platform');
  const logs = tenants.map((log) => verifyLog(found, log, { keys, heads: known }));
  judged(found, {}, () => {
    for (const { origin, size } of known)
      must(
        size === 0 || !origin.includes('/audit/') || logs.some((log) => log.origin === origin),
        `${origin} is missing: a head of ${size} entries was signed`,
        { question: 'completeness', seq: 0 },
      );
    for (const log of logs) judgeBeside(log, { logs, platforms });
  });
  found.assumptions.push(
    'the lock of the objects shows in the store alone; times of the newest manifest are not signed',
  );
  return found;
};

/** What a log has to agree with: §5.4 the end of the epoch before it, §6.3 the platform log's heads. */
const judgeBeside = ({ origin, size, region, plannedAt, opened }, { logs, platforms }) => {
  const { previous_origin: name, previous_size: end = 0, previous_root: root } = opened ?? {};
  const old = logs.find((log) => log.origin === name) ?? { size: 0 };
  must(old.size >= end, `${origin} goes on from entry ${end} of ${name}`, { question: 'completeness', seq: old.size });
  const isSame = !opened || (old.size === end && (end === 0 || rootOf(old.tree) === root));
  must(isSame, `${origin} goes on from another end of ${name} than is there`, { seq: end });
  for (const { told, time } of platforms.filter((platform) => platform.region === region)) {
    const isDue = Date.parse(time) - Date.parse(plannedAt) > 5000;
    const isCovered = most(told.filter((head) => head.origin === origin)) >= size;
    must(isCovered || !isDue, `the platform log covers not all of ${origin}`, { question: 'completeness', seq: size });
  }
};

// ---- §8 The proof of one entry ---------------------------------------------------------------------------------------

/** Shows that an entry stands at its own place in the tree that a trusted key has signed for the log of its tenant. */
const proven = (entryText, { index, path, note, keys }) => {
  const { seq, event } = entryOf(entryText);
  const { deployment, origin, size, root } = checkpointOf(note, keys);
  must(origin.startsWith(`${deployment}/audit/${event.tenant_id}/`), 'the checkpoint is of another log');
  const isThere = seq === index && isIncluded({ leaf: leafOf(entryText), index, size, path, root });
  must(isThere && path.length <= 53, 'the entry is not at that place of the signed tree');
  return { origin, size };
};

const PROOF = /^c2sp\.org\/tlog-proof@v1\nextra (.+)\nindex (0|[1-9]\d{0,15})\n((?:.+\n)*)\n([^]*)$/;

export const verifyProof = (file, { keys }) => {
  const found = findings();
  found.assumptions.push('a proof speaks of one entry alone; whether others are missing only the log can tell');
  judged(found, {}, () => {
    const [, extra = '', index, lines = '', note] = PROOF.exec(textOf(file)) ?? [];
    must(note, 'it is no tlog-proof with its entry inside');
    const path = lines
      .split('\n')
      .slice(0, -1)
      .map((line) => base64(line).toString('hex'));
    proven(textOf(base64(extra)), { index: Number(index), path, note, keys });
    found.counts.entries = 1;
  });
  return found;
};

// ---- §9.1 Exports: each line carries its proof -----------------------------------------------------------------------

export const verifyExport = (bytes, { keys }) => {
  const found = findings();
  const [notes, runs] = [new Map(), new Map()]; // By epoch; by checkpoint.
  for (const [index, line] of textOf(bytes).trimEnd().split('\n').entries())
    judged(found, { file: `line ${index + 1}` }, () => {
      const { checkpoint, entry, epoch, leaf, proof, tree_size: size } = JSON.parse(line);
      if (checkpoint !== undefined) return void notes.set(epoch, checkpoint);
      if (proof === null) return judge(found, ['integrity', 'cannot say', 'not sealed yet; export again']);
      const [text, note] = [encoded(entry), notes.get(epoch) ?? ''];
      const head = proven(text, { index: entry.seq, path: proof, note, keys });
      const isOwn = leafOf(text) === leaf && head.size === size && head.origin.endsWith(`/${epoch}`);
      must(isOwn, 'its leaf or checkpoint is another one');
      const isNext = entry.seq === (runs.get(note)?.next ?? 0);
      runs.set(note, { size, next: isNext ? entry.seq + 1 : Number.NaN });
      found.counts.entries += 1;
    });
  const isWhole = runs.size > 0 && [...runs.values()].every(({ next, size }) => next === size);
  if (!isWhole) judge(found, ['completeness', 'cannot say', 'what a filter left out no export can show']);
  return found;
};

// ---- §10 Evidence packs, unpacked ------------------------------------------------------------------------------------

export const verifyPack = (source, { keys: given, checkpoints = [] }) => {
  const found = findings();
  const read = (path) => source.read(path, MAX_FILE);
  const at = { file: 'manifest.json' };
  judged(found, at, () => {
    const rotations = source.paths.includes('verify/ROTATIONS') ? textOf(read('verify/ROTATIONS')).trim() : '';
    const statements = rotations.split(/\n\n(?!— )/u).filter((part) => part !== '');
    const keys = withRotations(
      given,
      statements.map((part) => `${part}\n`),
    );
    const pack = signedManifest(read, keys);
    for (const { what, why } of pack.omissions)
      judge(found, ['completeness', 'fail', `it leaves out ${what}: ${why}`], at);
    const named = new Set(['manifest.json', 'manifest.dsse.json', ...pack.files.map(({ path }) => path)]);
    for (const file of source.paths) must(named.has(file), 'the manifest does not name this file', { file });
    for (const { path, bytes, sha256: sum } of pack.files) {
      at.file = path;
      must(source.paths.includes(path), 'the file is missing', { question: 'completeness' });
      must(read(path).length === bytes && sha256(read(path)) === sum, 'it is not the file that the manifest names');
    }
    verifyLogOfPack(source, { pack, found, keys, checkpoints });
  });
  return found;
};

const signedManifest = (read, keys) => {
  const { payload, payloadType: type, signatures } = JSON.parse(textOf(read('manifest.dsse.json')));
  const body = base64(payload);
  const signed = Buffer.concat([Buffer.from(`DSSEv1 ${type.length} ${type} ${body.length} `), body]);
  const isSigned = signatures.some(({ sig }) => keys.some(({ key }) => verify(null, signed, key, base64(sig))));
  must(isSigned && type === 'application/vnd.in-toto+json', 'no trusted key has signed it');
  const pack = canonical(read('manifest.json'));
  const { kind, window, tenant } = pack;
  const { subject, predicate, predicateType } = JSON.parse(textOf(body));
  const name = [{ digest: { sha256: sha256(read('manifest.json')) }, name: 'manifest.json' }];
  const expected = [name, { kind, window, tenant }, 'https://tenon.dev/evidence/v1'];
  must(encoded([subject, predicate, predicateType]) === encoded(expected), 'another manifest was signed');
  return pack;
};

/** The log goes up to the head that the manifest names. That populations are what it gives is left to `tenon verify`. */
const verifyLogOfPack = (source, { pack, found, keys, checkpoints }) => {
  if (pack.kind === 'gdpr_access') return void found.assumptions.push('the stores gave every row about the person');
  const [log, ...others] = findLogs(source);
  if (!log || !pack.head)
    return judge(found, ['completeness', 'cannot say', 'the pack has no signed head with its log']);
  must(others.length === 0 && log.root === 'log/' && log.tenant === pack.tenant.id, 'it holds another log');
  const heads = [pack.head.checkpoint, ...checkpoints].map((note) => checkpointOf(note, keys));
  const frontier = 'log/frontier.json';
  const start = source.paths.includes(frontier) ? canonical(source.read(frontier, MAX_FILE)) : undefined;
  if (start) found.assumptions.push(`no entry before seq ${start.size} belongs to the window of the pack`);
  const { origin } = verifyLog(found, log, { keys, heads, start });
  must(heads[0].origin === origin && heads[0].root === pack.head.root, 'the head is not that of its log');
};

// ---- Files and the command line --------------------------------------------------------------------------------------

const USAGE = `usage: node tenon-verify.mjs <archive, unpacked pack, proof or NDJSON export> --key '<verifier key>'
  --key KEY           name+id+base64, which you have from elsewhere; may be repeated
  --checkpoint FILE   a signed head that you kept yourself; may be repeated
  --json              one JSON document
Exit code 0: integrity and completeness pass. 1: one fails. 2: one cannot be told, or wrong use.

What it leaves to \`tenon verify\`: zips, CSV, certificates of erasure, proofs without their entry, the form of events, the
populations of packs, and of the platform log its silences, time stamps and witnesses. No file may have more than 256 MiB.`;

const readBounded = (path, mostBytes) => {
  must(lstatSync(path).size <= mostBytes, `${path} is longer than ${mostBytes} bytes`);
  return readFileSync(path);
};
/** Files below a folder; links, hidden files and what an archive keeps beside its objects are passed over. */
const folderOf = (root) => {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = files.map((file) => relative(root, join(file.parentPath, file.name)).replaceAll('\\', '/')).sort();
  const shown = paths.filter((path) => !/(^|\/)\.|\.retention\.jsonl$/.test(path));
  return { paths: shown, read: (path, mostBytes) => readBounded(join(root, path), mostBytes) };
};
const verifyPath = (path, options) => {
  if (lstatSync(path).isDirectory()) {
    const source = folderOf(path);
    return (source.paths.includes('manifest.json') ? verifyPack : verifyArchive)(source, options);
  }
  const bytes = readBounded(path, MAX_FILE);
  return bytes[0] === 0x7b ? verifyExport(bytes, options) : verifyProof(bytes, options);
};

const main = () => {
  const several = { type: 'string', multiple: true, default: [] };
  const options = { key: several, checkpoint: several, json: { type: 'boolean' }, help: { type: 'boolean' } };
  const { values, positionals } = parseArgs({ allowPositionals: true, options });
  must(positionals.length === 1 && values.key.length > 0 && !values.help, USAGE);
  const checkpoints = values.checkpoint.map((file) => readBounded(file, 1_000_000));
  const found = verifyPath(positionals[0], { keys: values.key.map(keyOf), checkpoints });
  const { integrity, completeness, assumptions } = found;
  assumptions.push(`you trust ${values.key.join(', ')}, and that nobody else signs with it`);
  if (values.json) console.log(JSON.stringify(found, null, 2));
  else {
    for (const [question, { verdict, place }] of Object.entries({ integrity, completeness }))
      console.log(question.padEnd(12), verdict.toUpperCase(), place ? JSON.stringify(place) : '');
    for (const sentence of new Set(assumptions)) console.log('assumed:', sentence);
  }
  return [0, 2, 1][Math.max(ORDER.indexOf(integrity.verdict), ORDER.indexOf(completeness.verdict))];
};

if (process.argv[1] && resolve(process.argv[1]) === import.meta.filename) {
  try {
    process.exitCode = main();
  } catch (error) {
    console.error(error.message);
    process.exitCode = 2;
  }
}
