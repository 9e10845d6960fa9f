/** A bar for the person who waits. */
export interface Progress {
  /** Shows how much is done, from 0 to 1; null where nobody knows. */
  update(fraction: number | null): void;
  /** Removes the bar, so that what follows stands on a line of its own. */
  end(): void;
}

const WIDTH = 30;
/** Oftener nobody sees. */
const INTERVAL_MS = 100;

/** Returns a bar on a terminal, and one that shows nothing where the stream is none: a log wants no bars. */
export function createProgress(
  what: string,
  stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
): Progress {
  if (!stream.isTTY) return { update: () => undefined, end: () => undefined };
  const startedAtMs = performance.now();
  let shownAtMs = -Infinity;
  let isShown = false;
  return {
    update: (fraction) => {
      const nowMs = performance.now();
      if (nowMs - shownAtMs < INTERVAL_MS) return;
      shownAtMs = nowMs;
      isShown = true;
      const seconds = Math.floor((nowMs - startedAtMs) / 1000);
      stream.write(`\r${what} ${fraction === null ? `${seconds} s` : barOf(Math.min(1, Math.max(0, fraction)))}`);
    },
    end: () => {
      if (isShown) stream.write('\r\u001b[K');
    },
  };
}

function barOf(fraction: number): string {
  const done = Math.round(fraction * WIDTH);
  return `[${'#'.repeat(done)}${'.'.repeat(WIDTH - done)}] ${Math.round(fraction * 100)} %`;
}
