import { describe, expect, it } from 'vitest';
import { RequestEnding } from '#kit/request-ending.ts';

describe('the end of a request', () => {
  it('is told once to everyone who listens, and to nobody who has stopped', () => {
    const ending = new RequestEnding();
    const told: string[] = [];
    const second = () => told.push('second');
    ending.addEventListener('abort', () => told.push('first'));
    ending.addEventListener('abort', second);
    ending.addEventListener('abort', () => told.push('third'));
    ending.removeEventListener('abort', second);
    ending.abort(new Error('gone'));
    ending.abort(new Error('again'));
    expect(told).toEqual(['first', 'third']);
    expect(ending.aborted).toBe(true);
    expect(() => ending.throwIfAborted()).toThrow('gone');
  });

  it('lets work go on until then', () => {
    const ending = new RequestEnding();
    expect(ending.aborted).toBe(false);
    expect(() => ending.throwIfAborted()).not.toThrow();
  });
});
