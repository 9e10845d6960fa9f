import type { ActionRows } from './action.ts';
import { count, text } from './field.ts';

/** Jobs that are done beside requests. What asks for one has an event of its own. */
export const jobActions: ActionRows = {
  'job.retry': {
    version: 1,
    about: 'A job that had failed was asked for once more.',
    resource: ['job'],
    resourceName: 'plain',
    context: { attempts: count },
  },
  'job.cancel': {
    version: 1,
    about: 'A job was called off; one that ran was told to stop.',
    resource: ['job'],
    resourceName: 'plain',
    context: { was: text(20) },
  },
  'job.fail': {
    version: 1,
    about: 'A job failed at its last attempt, or was refused: it waits for somebody to look at it.',
    resource: ['job'],
    resourceName: 'plain',
    context: { attempts: count, code: text(80) },
  },
};
