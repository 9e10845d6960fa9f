import { fail } from '#schema/errors.ts';
import type { Filter } from './filter.ts';
import { applyStep, resultOf } from './patch.ts';
import type { PatchDraft, PatchResult } from './patch.ts';
import { stepsOf } from './patch-steps.ts';
import type { PatchContext, PatchOperation, PatchStep } from './patch-steps.ts';
import { pathOf } from './schema.ts';
import type { ScimObject } from './schema.ts';
import { VALUE_LIMITS, isObject, isStorable, listOf, memberOf, refuse } from './value.ts';

/**
 * What a PATCH request makes of a group: its own attributes as for any resource, and its members as a difference, so
 * that no member list is ever loaded. Either `membersReplace` is there and holds every member the group has from now
 * on, and the other two are empty; or ids of `membersAdd` become members and those of `membersRemove` cease to be.
 * The two share no id. Removing who is no member and adding who is one change nothing.
 */
export interface GroupPatchResult extends PatchResult {
  readonly membersAdd: ReadonlySet<string>;
  readonly membersRemove: ReadonlySet<string>;
  readonly membersReplace?: ReadonlySet<string>;
}

/**
 * Applies the operations of a PATCH request to a group document without members, all or none. Ids are taken as the
 * client wrote them; whether they name a user of the tenant is for the caller to find out. A removal whose members
 * cannot be read is refused and never empties the group: BAD_USER_INPUT for a value, INVALID_PATH for a filter other
 * than equality on `value`. Other errors are those of applyPatch, and TOO_MANY for more than 10,000 ids.
 */
export function applyGroupPatch(
  group: ScimObject,
  operations: readonly PatchOperation[],
  context: PatchContext,
): GroupPatchResult {
  const { steps, ignored } = stepsOf(operations, context);
  const delta: MemberDelta = { add: new Set(), remove: new Set(), replace: undefined };
  let draft: PatchDraft = { resource: group, ignored };
  for (const step of steps) {
    if (step.target.attribute.name === 'members') changeMembers(delta, step);
    else draft = applyStep(draft, step, context.profile);
  }
  return {
    ...resultOf(group, draft),
    membersAdd: delta.add,
    membersRemove: delta.remove,
    ...(delta.replace && { membersReplace: delta.replace }),
  };
}

/**
 * Returns the ids in a list of members: texts, or objects that hold the id as `value` and may hold a null `$ref`.
 * Anything else is BAD_USER_INPUT, more than 10,000 are TOO_MANY.
 */
export function readMemberIds(value: unknown): string[] {
  const members = listOf(value);
  bound(members.length);
  return members.map((member) => {
    const id = isObject(member) ? memberOf(member, 'value') : member;
    if (typeof id !== 'string' || id === '' || id.length > VALUE_LIMITS.characters || !isStorable(id)) {
      return refuse('Each of "members" needs the id of a user as its value.');
    }
    return id;
  });
}

interface MemberDelta {
  readonly add: Set<string>;
  readonly remove: Set<string>;
  replace: Set<string> | undefined;
}

function changeMembers(delta: MemberDelta, step: PatchStep): void {
  const ids = idsIn(step);
  if (step.op === 'replace' || ids === 'all') {
    delta.add.clear();
    delta.remove.clear();
    delta.replace = new Set(ids === 'all' ? [] : ids);
    return;
  }
  for (const id of ids) changeMember(delta, step.op, id);
  bound(delta.add.size + delta.remove.size + (delta.replace?.size ?? 0));
}

function changeMember({ add, remove, replace }: MemberDelta, op: 'add' | 'remove', id: string): void {
  if (replace !== undefined) {
    if (op === 'add') replace.add(id);
    else replace.delete(id);
    return;
  }
  const [into, from] = op === 'add' ? [add, remove] : [remove, add];
  from.delete(id);
  into.add(id);
}

/** Only a removal that names no member at all, by path or by value, means all of them. */
function idsIn({ op, filter, target, value }: PatchStep): string[] | 'all' {
  if (target.sub !== undefined || (filter !== undefined && op === 'replace')) {
    fail('MUTABILITY', `PATCH of ${pathOf(target)}`, { hint: 'Members are added and removed, not edited.' });
  }
  if (filter !== undefined) return idsOf(filter);
  if (value !== undefined && value !== null) return readMemberIds(value);
  return op === 'remove' ? 'all' : refuse('"members" takes a list.');
}

function idsOf(filter: Filter): string[] {
  if (filter.kind === 'or') return filter.terms.flatMap(idsOf);
  if (filter.kind === 'compare' && filter.operator === 'eq' && filter.target.sub?.name === 'value') {
    return [String(filter.value)];
  }
  return fail('INVALID_PATH', 'member filter is no equality on value', {
    hint: 'Members are selected by value eq "<id>", joined by or.',
  });
}

function bound(count: number): void {
  if (count <= VALUE_LIMITS.members) return;
  fail('TOO_MANY', 'too many members in a PATCH', {
    hint: `At most ${VALUE_LIMITS.members} members are taken in one request.`,
  });
}
