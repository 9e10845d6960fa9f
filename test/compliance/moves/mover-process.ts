import { driveMove } from '../../../compliance/moves/machine.ts';
import type { MoveStep } from '../../../compliance/moves/mover.ts';
import { openMover, type MoverTask } from './mover-places.ts';

// Drives one move in a process of its own until the step that it is told, says so, and waits there to be killed.

process.once('message', (task: MoverTask) => void drive(task));
process.once('disconnect', () => process.exit(1));

async function drive({ places, move, step }: MoverTask): Promise<void> {
  const mover = await openMover(places);
  const onStep = async (at: MoveStep) => {
    if (at !== step) return;
    process.send?.(step);
    await new Promise<never>(() => undefined);
  };
  await driveMove({ ...mover, onStep }, move);
  process.exit(0);
}
