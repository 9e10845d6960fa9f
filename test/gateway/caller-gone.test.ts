import { afterEach, describe, expect, it, vi } from 'vitest';
import { TenonError } from '#schema/errors.ts';
import { CallerGoneError } from '../../gateway/links/request-signal.ts';
import { refusalAnswer } from '../../gateway/use-error-masking.ts';

afterEach(() => vi.restoreAllMocks());

describe('a request that is given up', () => {
  it('leaves no line in the log where the caller went away', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    expect(refusalAnswer(new CallerGoneError(), 'req_1').code).toBe('GATEWAY_TIMEOUT');
    expect(write).not.toHaveBeenCalled();
  });

  it('leaves one where the platform was too slow', () => {
    const write = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    refusalAnswer(new TenonError('GATEWAY_TIMEOUT', 'the time of the request is up'), 'req_2');
    expect(write).toHaveBeenCalledOnce();
  });
});
