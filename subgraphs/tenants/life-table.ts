import { LIFE_DAY_BOUNDS, LIFE_DAY_NAMES } from '#schema/life-days.ts';
import { DOOR_CLASSES, SCOPE_CLASSES, STATE_DOORS, type DoorClass } from '#schema/tenant-doors.ts';
import { TENANT_STATES } from '#schema/tenant-context.ts';
import { GUARDS, TRANSITIONS, WAITS, type Transition } from './lifecycle.ts';

/** Returns the table of all steps, in Markdown. */
export function lifeTable(): string {
  const rows = TRANSITIONS.map(
    (step) =>
      `| \`${step.from}\` | \`${step.to}\` | \`${step.action}\` | ${step.by.join(', ')} | ${conditionsOf(step)} | ${(step.effects ?? []).join(', ')} |`,
  );
  return ['| from | to | step | by | when | with it |', '| --- | --- | --- | --- | --- | --- |', ...rows].join('\n');
}

/** Returns the table of the days, in Markdown. */
export function lifeDaysTable(): string {
  const rows = LIFE_DAY_NAMES.map((name) => {
    const [least, start, most] = LIFE_DAY_BOUNDS[name];
    return `| \`${name}\` | ${start} | ${least} | ${most} |`;
  });
  return ['| name | at first | least | most |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

/** Returns the table of what each state leaves open, and the rights of each class, in Markdown. */
export function doorsTable(): string {
  const classes = Object.keys(DOOR_CLASSES) as DoorClass[];
  const states = TENANT_STATES.map(
    (state) => `| \`${state}\` | ${classes.map((door) => (STATE_DOORS[state].has(door) ? 'yes' : '')).join(' | ')} |`,
  );
  const rights = Object.entries(SCOPE_CLASSES).map(([scope, door]) => `| \`${scope}\` | ${door} |`);
  return [
    `| state | ${classes.join(' | ')} |`,
    `| --- |${' --- |'.repeat(classes.length)}`,
    ...states,
    '',
    '| right | class |',
    '| --- | --- |',
    ...rights,
  ].join('\n');
}

function conditionsOf({ wait, guards = [], clock }: Transition): string {
  const always = [
    ...(wait === undefined ? [] : [`after ${WAITS[wait].about}`]),
    ...guards.map((guard) => GUARDS[guard].about),
  ];
  const timed = [
    ...(clock?.wait === undefined ? [] : [`after ${WAITS[clock.wait].about}`]),
    ...(clock?.guards ?? []).map((guard) => GUARDS[guard].about),
  ];
  return [...always, ...(timed.length === 0 ? [] : [`the clock: ${timed.join(', ')}`])].join('; ');
}
