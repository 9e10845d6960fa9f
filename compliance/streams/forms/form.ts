import { StreamForm } from '#schema/audit-stream.ts';
import { cloudEventsForm } from './cloudevents.ts';
import { nativeForm } from './native.ts';
import { ocsfForm } from './ocsf.ts';
import type { StreamFormatter } from './streamed-entry.ts';

/** What writes an entry in each form; all are pure. */
export const STREAM_FORMATTERS: Readonly<Record<StreamForm, StreamFormatter>> = {
  [StreamForm.NATIVE]: nativeForm,
  [StreamForm.OCSF]: ocsfForm,
  [StreamForm.CLOUDEVENTS]: cloudEventsForm,
};
