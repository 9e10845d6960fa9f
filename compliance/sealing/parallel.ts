/** Objects put or asked for at a time: most of it is waiting for disks and networks. */
const PARALLEL = 8;

/** Runs the work for every item, a few at a time; the first throw ends the start of further ones and is thrown. */
export async function inParallel<T>(items: Iterable<T>, work: (item: T) => Promise<void>): Promise<void> {
  const queue = items[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (let next = queue.next(); next.done !== true; next = queue.next()) await work(next.value);
    }),
  );
}
