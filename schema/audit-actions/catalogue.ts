import type { ActionRow, ActionSchema } from './action.ts';
import type { Field, Fields, FieldType } from './field.ts';
import { AUDIT_ACTION_PARTS } from './index.ts';

/** What the graph says of actions: the mutation that writes one, and the control criteria it serves. */
export interface ActionOrigin {
  readonly action: string;
  readonly mutation: string;
  readonly controls: readonly string[];
}

/** Returns the catalogue of audit events as Markdown. */
export function auditCatalogue(origins: readonly ActionOrigin[]): string {
  const parts = Object.entries(AUDIT_ACTION_PARTS).map(([title, rows]) => {
    const actions = Object.entries(rows).map(([action, row]) => actionSection(action, row, originsOf(origins, action)));
    return `## ${title}\n\n${actions.join('\n')}`;
  });
  return `${HEAD}\n${contents()}\n\n${parts.join('\n')}`;
}

const HEAD = `# Audit events

Every action that the audit log can hold, generated from \`schema/audit-actions\`. Whatever else a transaction tries to
record is refused (\`AUDIT_EVENT_REFUSED\`), and the transaction with it: an unknown action, a field that is not listed, a
value of another type or beyond its length. The same as JSON Schema (2020-12), by action and version:
[\`schema/audit-events.schema.json\`](../schema/audit-events.schema.json). What all events have in common is in
[the formats](formats.md#audit-event).

An entry names the version of its action's schema in \`action_version\`. A version changes only by taking more; anything
else is a new version, and the older ones stay here. **Personal** values are sealed with the key of the person whose they
are before anything is hashed, and with the tenant's own key where she has no account; \`actor.ip\` and \`actor.ua\` always
are, of the user who acts. \`?\` after a field means that it may be missing.
`;

function contents(): string {
  return Object.entries(AUDIT_ACTION_PARTS)
    .map(([title, rows]) => `- **${title}**: ${Object.keys(rows).map(linkTo).join(', ')}`)
    .join('\n');
}

function linkTo(action: string): string {
  return `[\`${action}\`](#${action.replaceAll('.', '')})`;
}

interface Written {
  readonly mutations: readonly string[];
  readonly controls: readonly string[];
}

function originsOf(origins: readonly ActionOrigin[], action: string): Written {
  const own = origins.filter((origin) => origin.action === action);
  return {
    mutations: own.map(({ mutation }) => mutation).toSorted(),
    controls: [...new Set(own.flatMap(({ controls }) => controls))].toSorted(),
  };
}

function actionSection(
  action: string,
  { earlier = [], ...newest }: ActionRow,
  { mutations, controls }: Written,
): string {
  const facts = [
    ...(mutations.length === 0 ? [] : [`Mutation: ${mutations.map((name) => `\`${name}\``).join(', ')}.`]),
    ...(controls.length === 0 ? [] : [`Controls: ${controls.join(', ')}.`]),
  ];
  const origin = facts.length === 0 ? '' : `${facts.join(' ')}\n\n`;
  const versions = [newest, ...earlier].map(versionTable).join('\n');
  return `### ${action}\n\n${newest.about}\n\n${origin}${versions}`;
}

function versionTable({ version, resource, resourceName, context }: ActionSchema): string {
  const rows = [
    ['`resource.type`', resource.map((type) => `\`${type}\``).join(', '), ''],
    ['`resource.name`', 'text or null', resourceName === 'plain' ? '' : personalText(resourceName)],
    ...fieldRows('context', context),
  ];
  return [
    `| version ${version} | takes | personal |`,
    '| --- | --- | --- |',
    ...rows.map((cells) => `| ${cells.join(' | ')} |`),
    '',
  ].join('\n');
}

function fieldRows(path: string, fields: Fields): string[][] {
  const rows: string[][] = [];
  for (const [name, field] of Object.entries(fields)) {
    const own = `${path}.${name}`;
    rows.push([`\`${own}\`${field.optional === true ? ' ?' : ''}`, typeText(field), personalOf(field)]);
    if (field.type === 'object') rows.push(...fieldRows(own, field.fields));
  }
  return rows;
}

function personalOf({ personal }: Field): string {
  return personal === undefined ? '' : personalText(personal);
}

function personalText(subject: NonNullable<Field['personal']>): string {
  if (subject === 'actor') return 'of the actor';
  if (subject === 'resource') return 'of the user it is about';
  return subject === 'tenant' ? 'of somebody without an account' : `of \`${subject}\``;
}

function typeText(field: Field): string {
  return `${valueText(field)}${field.nullable === true ? ' or null' : ''}`;
}

function valueText(field: FieldType): string {
  switch (field.type) {
    case 'text':
      return `text up to ${field.maxLength} characters`;
    case 'id':
      return `${field.prefixes.map((prefix) => `\`${prefix}_\``).join(' or ')} id`;
    case 'choice':
      return field.values.map((value) => `\`${value}\``).join(', ');
    case 'count':
      return 'a count';
    case 'number':
      return 'a number, 0 or more';
    case 'flag':
      return 'true or false';
    case 'time':
      return 'a time';
    case 'hash':
      return 'SHA-256 in hex';
    case 'list':
      return `list of at most ${field.maxItems}: ${valueText(field.of)}`;
    default:
      return 'an object';
  }
}
