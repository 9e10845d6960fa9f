import { isObject } from '#schema/json-object.ts';
import type { LeafText } from './leaf-text.ts';
import type { AnswerErrors, AnswerPath } from './run-state.ts';

/** How the value at one place of an answer is written, and why it could not be. */
export interface Shape {
  /** Returns the JSON text; null where nothing can stand here, so that the place around it has to go. */
  write(value: unknown): string | null;
  /** Returns why `write` returns null here; adds an error to each hole below that no error explains yet. */
  explain(value: unknown, place: Place): readonly Fault[];
  /** Returns how many elements of a path that begins at this value lie in what the caller selected. */
  visible(value: unknown, path: AnswerPath): number;
}

/** A place in an answer, seen from below. */
export interface Place {
  readonly key: string | number;
  readonly above: Place | null;
  readonly errors: AnswerErrors;
  /** `Type.field` that the place belongs to. */
  readonly field: string;
}

/** A thing that is not as the schema has it, so that the place around it cannot stand. */
export interface Fault {
  readonly path: AnswerPath;
  readonly message: string;
}

/** One field of an object. */
export interface ShapeField {
  readonly key: string;
  /** Text before the value: the comma, the quoted key and the colon. */
  readonly prefix: string;
  readonly field: string;
  readonly shape: Shape;
  /** True for a key that every object inherits something under. */
  readonly inherited: boolean;
}

/** Told when a text lacks something, so that its reasons are looked for. */
export interface FaultFlag {
  faulty: boolean;
}

/** Returns the shape of a value that may be null. */
export function nullable(inner: Shape, flag: FaultFlag): Shape {
  return {
    write: (value) => {
      if (value === null || value === undefined) return 'null';
      const text = inner.write(value);
      if (text !== null) return text;
      flag.faulty = true;
      return 'null';
    },
    explain: (value, place) => {
      if (value !== null && value !== undefined) settle(inner.explain(value, place), place.errors);
      return [];
    },
    visible: (value, path) => inner.visible(value, path),
  };
}

/** Adds one error for a hole, unless one is known that made it. */
export function settle(faults: readonly Fault[], errors: AnswerErrors): void {
  const [first] = faults;
  if (first === undefined || faults.some(({ path }) => errors.explains(path))) return;
  errors.add({
    message: first.message,
    ...(first.path.length === 0 ? {} : { path: first.path }),
    extensions: { code: 'INTERNAL_SERVER_ERROR' },
  });
}

/** Returns the shape of a value that may not be null. */
export function nonNull(inner: Shape): Shape {
  return {
    write: (value) => (value === null || value === undefined ? null : inner.write(value)),
    explain: (value, place) => {
      const faults = value === null || value === undefined ? [] : inner.explain(value, place);
      if (faults.length > 0 || (value !== null && value !== undefined && inner.write(value) !== null)) return faults;
      return fault(place, `Cannot return null for non-nullable field ${place.field}.`);
    },
    visible: (value, path) => inner.visible(value, path),
  };
}

/** Returns the shape of a scalar or an enum; a hidden value counts as null. */
export function leaf(text: LeafText, isHidden: (value: unknown) => boolean = () => false): Shape {
  return {
    write: text,
    explain: (value, place) => {
      if (isHidden(value) || text(value) !== null) return [];
      return fault(place, `The value of ${place.field} is not of its type.`);
    },
    visible: () => 0,
  };
}

/** Returns the shape of a text that does not depend on the value, such as a type's name. */
export function constant(text: string): Shape {
  return { write: () => text, explain: () => [], visible: () => 0 };
}

/** Returns the shape of a list. */
export function list(item: Shape): Shape {
  return {
    write: (value) => {
      if (!Array.isArray(value)) return null;
      let text = '[';
      for (let index = 0; index < value.length; index += 1) {
        const written = item.write(value[index]);
        if (written === null) return null;
        text += index === 0 ? written : `,${written}`;
      }
      return `${text}]`;
    },
    explain: (value, place) => {
      if (!Array.isArray(value)) return fault(place, `The value of ${place.field} is not a list.`);
      return value.flatMap((inner: unknown, key) => item.explain(inner, { ...place, key, above: place }));
    },
    visible: (value, [index, ...rest]) => {
      if (typeof index !== 'number') return 0;
      return 1 + item.visible(Array.isArray(value) ? value[index] : undefined, rest);
    },
  };
}

/** Returns the fields of an object; null where it cannot stand here. */
export type FieldsOf = (value: Readonly<Record<string, unknown>>) => readonly ShapeField[] | null;

/** Returns the shape of an object; one of a hidden type counts as null, and one that is not there where it lacks something. */
export function object(fieldsOf: FieldsOf, isHidden: (typename: unknown) => boolean = () => false): Shape {
  return {
    write: (value) => {
      if (!isObject(value)) return null;
      const fields = fieldsOf(value);
      if (fields === null) return null;
      let text = '{';
      for (let index = 0; index < fields.length; index += 1) {
        const field = fields[index] as ShapeField;
        const written = field.shape.write(field.inherited ? own(value, field.key) : value[field.key]);
        if (written === null) return null;
        text += field.prefix + written;
      }
      return `${text}}`;
    },
    explain: (value, place) => {
      const fields = isObject(value) ? fieldsOf(value) : null;
      if (isObject(value) && (isHidden(value['__typename']) || place.errors.isAbsent(value))) return [];
      if (!isObject(value) || fields === null) return fault(place, `The value of ${place.field} is not of its type.`);
      return fields.flatMap(({ shape, key, field }) =>
        shape.explain(own(value, key), { key, above: place, errors: place.errors, field }),
      );
    },
    visible: (value, [key, ...rest]) => {
      const known = isObject(value) ? value : {};
      const field = fieldsOf(known)?.find((one) => one.key === key);
      return field === undefined ? 0 : 1 + field.shape.visible(own(known, field.key), rest);
    },
  };
}

/** Returns the whole path of a place. */
function pathOf(place: Place): AnswerPath {
  const path: (string | number)[] = [];
  for (let at: Place | null = place; at.above !== null; at = at.above) path.push(at.key);
  return path.toReversed();
}

function own(value: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(value, key) ? value[key] : undefined;
}

function fault(place: Place, message: string): readonly Fault[] {
  return [{ path: pathOf(place), message }];
}
