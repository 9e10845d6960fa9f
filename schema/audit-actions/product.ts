import type { ActionRows } from './action.ts';
import { choice, id, personal, text } from './field.ts';

/** The example product: projects and documents; also the template of `npm run new`. */
export const productActions: ActionRows = {
  'project.create': {
    version: 1,
    about: 'A project was made.',
    resource: ['project'],
    resourceName: 'plain',
    context: {},
  },
  'document.create': {
    version: 1,
    about: 'A document was made in a project.',
    resource: ['document'],
    resourceName: 'plain',
    context: { project: id('prj') },
  },
  'document.share': {
    version: 1,
    about: 'A document was shared with the e-mail address `to`.',
    resource: ['document'],
    resourceName: 'plain',
    context: { to: personal('tenant', text(320)), permission: choice('view', 'comment', 'edit') },
  },
};
