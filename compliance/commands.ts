import type { Command } from '#kit/command.ts';
import { archiveSelfTestCommand } from './commands-archive.ts';
import { doctor } from './commands-doctor.ts';
import { evidenceBuild, tenantExport, type EvidenceCommandNeeds } from './commands-evidence.ts';
import { keyCommands } from './commands-keys.ts';
import { migrateCommand } from './commands-migrate.ts';
import { operationCommands } from './commands-operations.ts';
import { residencyCommand } from './commands-residency.ts';
import { reconcileCommand } from './commands-reconcile.ts';
import { storeCommands } from './commands-stores.ts';
import { supportCommands } from './commands-support.ts';
import { verifyCommand } from './commands-verify.ts';
import { witnessCommand } from './commands-witness.ts';

/** Returns the commands about evidence, keys and the stores as a whole. */
export function complianceCommands(needs: EvidenceCommandNeeds): readonly Command[] {
  return [
    verifyCommand,
    witnessCommand,
    ...keyCommands,
    ...operationCommands,
    ...supportCommands,
    migrateCommand,
    ...storeCommands,
    doctor,
    reconcileCommand,
    archiveSelfTestCommand,
    residencyCommand,
    evidenceBuild(needs),
    tenantExport(needs),
  ];
}
