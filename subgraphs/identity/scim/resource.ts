import { ERRORS, fail } from '#schema/errors.ts';
import type { ErrorRow, TenonError } from '#schema/errors.ts';
import { etagOf } from './etag.ts';
import { readMemberIds } from './group-patch.ts';
import { COMMON_ATTRIBUTES, GROUP, USER, attributeNamed, findAttribute, findSchema, pathOf } from './schema.ts';
import type { Attribute, AttributeReference, ResourceType, ScimObject, ScimValue } from './schema.ts';
import { boundedBody, isObject, memberOf, readValue, refuse } from './value.ts';

/** A group as a client sends it: its own attributes, and its members where the body names them. */
export interface GroupInput {
  readonly resource: ScimObject;
  /** Ids as the client wrote them, each once; absent where the body says nothing about members. */
  readonly memberIds?: readonly string[];
}

/** Another resource as it is shown inside one. */
export interface ResourceLink {
  /** Public id. */
  readonly id: string;
  readonly display?: string | undefined;
}

/** A stored resource that is to be rendered. */
export interface ResourceRow {
  /** Public id. */
  readonly id: string;
  /** The document as readUser, readGroup or a PATCH returned it. */
  readonly resource: ScimObject;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly version: number;
}

/** How a client asked to see resources (RFC 7644 section 3.9): the query parameters as they came. */
export interface ResourceView {
  /** Address of the SCIM service, without a slash at the end. */
  readonly baseUrl: string;
  readonly attributes?: string | undefined;
  readonly excludedAttributes?: string | undefined;
}

/**
 * Returns the user of a POST or PUT body as a document with schema spelling. Hostile input enters here. Nulls, unknown
 * and readOnly attributes and the password are dropped; `schemas` is left to the rendering. A missing userName, a value
 * of the wrong type or size, or a name given twice is BAD_USER_INPUT; a body for another schema is BAD_REQUEST.
 */
export function readUser(body: unknown, type: ResourceType = USER): ScimObject {
  return readResource(boundedBody(body), type);
}

/** Returns the group of a POST or PUT body, by the rules of readUser; more than 10,000 members are TOO_MANY. */
export function readGroup(body: unknown, type: ResourceType = GROUP): GroupInput {
  const message = boundedBody(body);
  const members = memberOf(message, 'members');
  const { members: _, ...resource } = readResource(message, type);
  if (members === undefined || members === null) return { resource };
  return { resource, memberIds: [...new Set(readMemberIds(members))] };
}

/** Returns the representation of a user (RFC 7643 section 4.1); `groups` are those that she is in directly. */
export function renderUser(
  row: ResourceRow & { groups?: readonly ResourceLink[] },
  view: ResourceView,
  type: ResourceType = USER,
): ScimObject {
  const groups = (row.groups ?? []).map((group) => link(group, { type: GROUP, relation: 'direct' }, view));
  return render(row, { type, view, extra: groups.length > 0 ? { groups } : {} });
}

/** Returns the representation of a group (RFC 7643 section 4.2); without `members` in the row it has no such key. */
export function renderGroup(
  row: ResourceRow & { members?: readonly ResourceLink[] },
  view: ResourceView,
  type: ResourceType = GROUP,
): ScimObject {
  const members = row.members?.map((member) => link(member, { type: USER, relation: USER.name }, view));
  return render(row, { type, view, extra: members === undefined ? {} : { members } });
}

/** Tells whether the client wants to see an attribute, so that the caller need not load what is not shown. */
export function isWanted(type: ResourceType, name: string, view: ResourceView): boolean {
  const target = findAttribute(type, name);
  return target !== undefined && project(target, [], selectionOf(type, view)) !== undefined;
}

/** A page of a list; where it stands is told by its index (RFC 7644) or by cursors (RFC 9865). */
export interface ListPage {
  readonly resources: readonly ScimObject[];
  readonly totalResults: number;
  /** From 1. */
  readonly startIndex?: number | undefined;
  readonly nextCursor?: string | undefined;
  readonly previousCursor?: string | undefined;
}

/** Returns a list response (RFC 7644 section 3.4.2). */
export function listResponse({ resources, totalResults, ...place }: ListPage): ScimObject {
  const { startIndex, nextCursor, previousCursor } = place;
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:ListResponse'],
    totalResults,
    ...(startIndex !== undefined && { startIndex }),
    itemsPerPage: resources.length,
    ...(nextCursor !== undefined && { nextCursor }),
    ...(previousCursor !== undefined && { previousCursor }),
    Resources: [...resources],
  };
}

/** Returns the body of an error answer (RFC 7644 section 3.12): `status` is text, `detail` the public message. */
export function errorBody(error: TenonError): ScimObject {
  const { scimType }: ErrorRow = ERRORS[error.code];
  return {
    schemas: ['urn:ietf:params:scim:api:messages:2.0:Error'],
    status: String(error.status),
    ...(scimType !== undefined && { scimType }),
    detail: error.publicMessage,
  };
}

type Body = Readonly<Record<string, unknown>>;

function readResource(body: Body, type: ResourceType): ScimObject {
  checkSchemas(memberOf(body, 'schemas'), type);
  const resource = readAttributes(body, [...COMMON_ATTRIBUTES, ...type.schema.attributes], '');
  for (const extension of type.extensions) {
    const part = memberOf(body, extension.id);
    if (part === undefined || part === null) continue;
    if (!isObject(part)) refuse(`"${extension.id}" takes an object.`);
    const attributes = readAttributes(part, extension.attributes, `${extension.id}:`);
    if (Object.keys(attributes).length > 0) resource[extension.id] = attributes;
  }
  for (const { name, required } of type.schema.attributes) {
    if (required && (resource[name] ?? '') === '') refuse(`"${name}" is required.`);
  }
  return resource;
}

/** Other URNs beside the right one are let through: Entra adds a legacy one to groups. */
function checkSchemas(schemas: unknown, type: ResourceType): void {
  const isNamed =
    Array.isArray(schemas) && schemas.some((urn) => typeof urn === 'string' && findSchema(type, urn) === type.schema);
  if (schemas === undefined || schemas === null || isNamed) return;
  fail('BAD_REQUEST', 'SCIM body of another schema', { hint: `"schemas" has to name ${type.schema.id}.` });
}

function readAttributes(body: Body, attributes: readonly Attribute[], prefix: string): ScimObject {
  const resource: ScimObject = {};
  const seen = new Set<Attribute>();
  for (const [name, value] of Object.entries(body)) {
    const attribute = attributeNamed(attributes, name);
    if (attribute === undefined) continue;
    if (seen.has(attribute)) refuse(`"${prefix}${attribute.name}" is there twice.`);
    seen.add(attribute);
    // Members are bounded and read on their own, since they are stored as rows.
    if (attribute.name === 'members' || !isWritable(attribute)) continue;
    const read = readValue(attribute, value, `${prefix}${attribute.name}`);
    if (read !== undefined) resource[attribute.name] = read;
  }
  return resource;
}

function isWritable({ mutability }: Attribute): boolean {
  return mutability === 'readWrite' || mutability === 'immutable';
}

function link(
  { id, display }: ResourceLink,
  { type, relation }: { type: ResourceType; relation: string },
  { baseUrl }: ResourceView,
): ScimObject {
  const target = { value: id, $ref: `${baseUrl}${type.endpoint}/${id}`, type: relation };
  return display === undefined ? target : { ...target, display };
}

interface Rendering {
  readonly type: ResourceType;
  readonly view: ResourceView;
  /** Attributes that do not stand in the document. */
  readonly extra: ScimObject;
}

function render(row: ResourceRow, { type, view, extra }: Rendering): ScimObject {
  const { id, resource, createdAt, updatedAt, version } = row;
  const meta = {
    resourceType: type.name,
    created: createdAt.toISOString(),
    lastModified: updatedAt.toISOString(),
    location: `${view.baseUrl}${type.endpoint}/${id}`,
    version: etagOf(version),
  };
  const selection = selectionOf(type, view);
  const core = [...COMMON_ATTRIBUTES, ...type.schema.attributes].map((attribute) => ({ attribute }));
  const shown = projectAll({ ...resource, ...extra, id, meta }, core, selection);
  const schemas = [type.schema.id];
  for (const { id: extension, attributes } of type.extensions) {
    const part = resource[extension];
    const targets = attributes.map((attribute) => ({ attribute, extension }));
    const inner = isScimObject(part) ? projectAll(part, targets, selection) : {};
    if (Object.keys(inner).length === 0) continue;
    shown[extension] = inner;
    schemas.push(extension);
  }
  return { schemas, ...shown };
}

/** Canonical names and URNs of schemas; `wanted` is undefined where the client did not choose. */
interface Selection {
  readonly wanted: ReadonlySet<string> | undefined;
  readonly excluded: ReadonlySet<string>;
}

function selectionOf(type: ResourceType, { attributes, excludedAttributes }: ResourceView): Selection {
  return {
    wanted: attributes === undefined || attributes === '' ? undefined : namesIn(attributes, type),
    excluded: namesIn(excludedAttributes ?? '', type),
  };
}

/** An unknown name selects nothing and excludes nothing. */
function namesIn(list: string, type: ResourceType): Set<string> {
  if (list.length > 4096) refuse('A list of attributes takes at most 4096 characters.');
  const names = list.split(',').map((name) => name.trim());
  return new Set(
    names.flatMap((name) => {
      const target = findAttribute(type, name);
      return target === undefined ? (findSchema(type, name)?.id ?? []) : pathOf(target);
    }),
  );
}

function projectAll(holder: ScimObject, targets: readonly AttributeReference[], selection: Selection): ScimObject {
  const shown: ScimObject = {};
  for (const target of targets) {
    const value = Object.hasOwn(holder, target.attribute.name) ? holder[target.attribute.name] : undefined;
    const part = value === undefined ? undefined : project(target, value, selection);
    if (part !== undefined) shown[target.attribute.name] = part;
  }
  return shown;
}

/** Returns what is shown of one attribute, or undefined where none of it is. */
function project(target: AttributeReference, value: ScimValue, { wanted, excluded }: Selection): ScimValue | undefined {
  const { attribute, extension } = target;
  const path = pathOf(target);
  const isNamed = (names: ReadonlySet<string>): boolean =>
    names.has(path) || (extension !== undefined && names.has(extension));
  if (attribute.returned === 'always') return value;
  if (attribute.returned === 'never' || isNamed(excluded)) return undefined;
  const isWhole = wanted === undefined ? attribute.returned !== 'request' : isNamed(wanted);
  const names = (attribute.subAttributes ?? [])
    .map((sub) => sub.name)
    .filter((name) => (isWhole || wanted?.has(`${path}.${name}`)) && !excluded.has(`${path}.${name}`));
  if (names.length === (attribute.subAttributes?.length ?? 0) && isWhole) return value;
  return names.length === 0 ? undefined : pick(value, names);
}

function pick(value: ScimValue, names: readonly string[]): ScimValue | undefined {
  if (Array.isArray(value)) return value.flatMap((element) => pick(element, names) ?? []);
  if (!isScimObject(value)) return undefined;
  const parts = names.flatMap((name): [string, ScimValue][] => {
    const part = Object.hasOwn(value, name) ? value[name] : undefined;
    return part === undefined ? [] : [[name, part]];
  });
  return parts.length > 0 ? Object.fromEntries(parts) : undefined;
}

function isScimObject(value: ScimValue | undefined): value is ScimObject {
  return isObject(value);
}
