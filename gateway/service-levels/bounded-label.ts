/** Returns a function that passes the first `most` different values and pools all later ones as `other`. */
export function boundedLabel(most: number): (value: string) => string {
  const known = new Set<string>();
  return (value) => {
    if (known.has(value)) return value;
    if (known.size >= most || !/^[\w.:/-]{1,64}$/.test(value)) return 'other';
    known.add(value);
    return value;
  };
}
