import type { Fields, PersonalSubject } from './field.ts';

/** What events of one action hold, in one version of its schema. */
export interface ActionSchema {
  /** From 1; one more with every change after which an event that fitted would fit no longer. */
  readonly version: number;
  /** One sentence: what has happened when this is in the log. */
  readonly about: string;
  /** The types that `resource.type` can be. */
  readonly resource: readonly string[];
  /** Whose personal data `resource.name` is; `plain` where it is no person's. */
  readonly resourceName: 'plain' | PersonalSubject;
  readonly context: Fields;
}

/** One action: its current schema, and those of before, which entries of their time are read by. */
export interface ActionRow extends ActionSchema {
  /** Newest first. */
  readonly earlier?: readonly ActionSchema[];
}

/** Actions by name. */
export type ActionRows = Readonly<Record<string, ActionRow>>;
