import type { ActionRow, ActionRows } from './action.ts';
import { id } from './field.ts';

/** What tenants show to each other; each side has the steps of an agreement in her own log. */
export const offerActions: ActionRows = {
  'document.offer': step('A document was offered to the tenant `recipient`.'),
  'document.accept': step('An offer was taken: the tenant `recipient` can read the document. In the logs of both.'),
  'document.read_offered': step('The tenant `recipient` has read the document of an offer.'),
  'document.withdraw': step('An offer was ended by its owner. In the logs of both, where it was taken.'),
  'document.return': step('An offer was given back by the tenant that had taken it. In the logs of both.'),
};

function step(about: string): ActionRow {
  return {
    version: 1,
    about,
    resource: ['offer'],
    resourceName: 'plain',
    context: { owner: id('tnt'), recipient: id('tnt') },
  };
}
