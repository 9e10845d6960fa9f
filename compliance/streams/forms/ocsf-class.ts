/** A class of OCSF with the activity that an event tells of. */
export interface OcsfClass {
  readonly classUid: 3001 | 3002 | 3004 | 6003;
  readonly className: string;
  readonly categoryUid: 3 | 6;
  readonly categoryName: string;
  readonly activityId: number;
  readonly activityName: string;
}

const IAM = { categoryUid: 3, categoryName: 'Identity & Access Management' } as const;
const ACCOUNT_CHANGE = { ...IAM, classUid: 3001, className: 'Account Change' } as const;
const AUTHENTICATION = { ...IAM, classUid: 3002, className: 'Authentication' } as const;
const ENTITY_MANAGEMENT = { ...IAM, classUid: 3004, className: 'Entity Management' } as const;
const API_ACTIVITY = {
  categoryUid: 6,
  categoryName: 'Application Activity',
  classUid: 6003,
  className: 'API Activity',
} as const;

/** Activities of the class by the action that they stand for. */
const ACCOUNT_ACTIVITIES: Readonly<Record<string, readonly [number, string]>> = {
  'user.create': [1, 'Create'],
  'user.provision': [1, 'Create'],
  'user.reactivate': [2, 'Enable'],
  'user.deactivate': [5, 'Disable'],
  'user.delete': [6, 'Delete'],
  'role.grant': [7, 'Attach Policy'],
  'role.revoke': [8, 'Detach Policy'],
  'sign_in.lock': [9, 'Lock'],
  'sign_in.unlock': [2, 'Enable'],
  'factor.enrol': [10, 'MFA Factor Enable'],
  'factor.create': [10, 'MFA Factor Enable'],
  'factor.remove': [11, 'MFA Factor Disable'],
  'factors.reset': [11, 'MFA Factor Disable'],
};
const AUTHENTICATION_ACTIVITIES: Readonly<Record<string, readonly [number, string]>> = {
  'session.create': [1, 'Logon'],
  'sign_in.refuse': [1, 'Logon'],
  'break_glass.use': [1, 'Logon'],
  'session.end': [2, 'Logoff'],
  'session.revoke': [2, 'Logoff'],
  'user.sign_out': [2, 'Logoff'],
};
/** By the last word of an action, of things that a tenant keeps. */
const ENTITY_ACTIVITIES: Readonly<Record<string, readonly [number, string]>> = {
  create: [1, 'Create'],
  add: [1, 'Create'],
  register: [1, 'Create'],
  update: [3, 'Update'],
  change: [3, 'Update'],
  rename: [5, 'Move'],
  rotate: [3, 'Update'],
  delete: [4, 'Delete'],
  remove: [4, 'Delete'],
  activate: [10, 'Activate'],
  disable: [9, 'Disable'],
};
/** Everything else is a call of an interface. */
const API_ACTIVITIES: Readonly<Record<string, readonly [number, string]>> = {
  read: [2, 'Read'],
  download: [2, 'Read'],
};

/** Returns the class that an action belongs to; what no other class knows is API Activity, of activity Other. */
export function ocsfClass(action: string): OcsfClass {
  const verb = action.slice(action.lastIndexOf('.') + 1);
  const classes = [
    [ACCOUNT_CHANGE, find(ACCOUNT_ACTIVITIES, action)],
    [AUTHENTICATION, find(AUTHENTICATION_ACTIVITIES, action)],
    [ENTITY_MANAGEMENT, find(ENTITY_ACTIVITIES, verb)],
    [API_ACTIVITY, find(API_ACTIVITIES, verb)],
  ] as const;
  for (const [known, activity] of classes)
    if (activity !== null) return { ...known, activityId: activity[0], activityName: activity[1] };
  return { ...API_ACTIVITY, activityId: 99, activityName: action };
}

function find(
  table: Readonly<Record<string, readonly [number, string]>>,
  name: string,
): readonly [number, string] | null {
  return Object.hasOwn(table, name) ? (table[name] ?? null) : null;
}
