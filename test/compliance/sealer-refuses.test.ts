import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { beforeEach, describe, expect, test } from 'vitest';
import { uuidOf } from '#schema/ids.ts';
import { failing, head, log, prepareSealing, sealer, sealing } from './sealing.ts';
import { objectsIn } from './stored-log.ts';

prepareSealing();

describe('nothing is signed', () => {
  const contradiction = expect.stringContaining('does not continue what was signed before');

  async function expectRefusal(segments: number): Promise<void> {
    const { sealed, failures } = await sealer()();
    expect(sealed).toBe(0);
    expect(failures).toMatchObject([{ error: { code: 'CONFLICT' } }]);
    expect(await head()).toMatchObject({ alarm: contradiction });
    expect(objectsIn(join(sealing.folder, `v1/eu/${sealing.tenant}/1/man`))).toHaveLength(segments);
  }

  beforeEach(async () => {
    await log(4);
    await sealer()();
    await log(4);
  });

  const damage = (statement: string) => sealing.cell.superuserOfAudit.query(statement, [uuidOf('tnt', sealing.tenant)]);

  test('where an entry was changed', async () => {
    await damage(
      `update app.log_entries set entry = replace(entry, 'viewer', 'editor') where tenant_id = $1 and seq = 5`,
    );
    await expectRefusal(1);
  });

  test('where an entry was deleted', async () => {
    await damage('delete from app.log_entries where tenant_id = $1 and seq = 5');
    await expectRefusal(1);
  });

  test('where a stored leaf was changed', async () => {
    await damage(`update app.log_entries set leaf = decode(repeat('00', 32), 'hex') where tenant_id = $1 and seq = 6`);
    await expectRefusal(1);
  });

  test('where the sealed size was set back', async () => {
    await damage('update app.log_heads set sealed_size = 3 where tenant_id = $1');
    await expectRefusal(1);
  });

  test('where the frontier of the last segment was changed', async () => {
    await damage(`update app.segments set frontier = jsonb_build_array(repeat('ab', 32)) where tenant_id = $1`);
    await expectRefusal(1);
  });

  test('where the manifest in the database is not the one in the archive', async () => {
    await damage(
      `update app.segments set manifest = replace(manifest, 'FILESYSTEM', 'COMPLIANCE') where tenant_id = $1`,
    );
    await expectRefusal(1);
  });

  test('where an entry of a planned segment was changed, with every hash behind it', async () => {
    await sealer({ archive: failing('before', 1, 'put') })();
    await damage('delete from app.log_entries where tenant_id = $1 and seq = 7');
    await expectRefusal(1);
  });

  test('where the archive no longer holds the last manifest', async () => {
    rmSync(join(sealing.folder, `v1/eu/${sealing.tenant}/1/man`), { recursive: true });
    const { failures } = await sealer()();
    expect(failures).toMatchObject([{ error: { code: 'NOT_FOUND' } }]);
    expect(await head()).toMatchObject({ alarm: 'The archive no longer holds what was sealed before.' });
  });

  test('under the name of a segment that stands there with other content', async () => {
    await sealer({ archive: failing('before', 1, 'put') })();
    const { rows } = await sealing.cell.audit.query<{ segment_key: string }>(
      `select segment_key from segments where tenant_id = $1 and state = 'planned'`,
      [uuidOf('tnt', sealing.tenant)],
    );
    await sealing.archive.put(rows[0]?.segment_key ?? '', gzipSync('something else\n'), { retainUntil: sealing.now });
    const { failures } = await sealer()();
    expect(failures).toMatchObject([{ error: { code: 'CONFLICT' } }]);
    expect(await head()).toMatchObject({ alarm: contradiction });
    expect(gunzipSync(readFileSync(join(sealing.folder, rows[0]?.segment_key ?? ''))).toString()).toBe(
      'something else\n',
    );
  });
});
