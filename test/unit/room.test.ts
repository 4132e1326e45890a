import { expect, test } from 'vitest';
import { NoRoom } from '../../src/mirror/ports.ts';
import { Budget } from '../../src/store/budget.ts';
import { Room } from '../../src/store/room.ts';

/** A disk of 100 bytes of which nothing is free, in a cache that fills it. */
function fullDisk() {
  const disk = { free: 0, evictions: 0 };
  const budget = new Budget(1_000);
  budget.count(100);
  const room = new Room(budget, { free: () => Promise.resolve(disk.free), minFree: 0 });
  return { disk, budget, room };
}

function diskFull(): Error {
  return Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
}

test('when the ledger cannot write down what goes, there is no room, and no error', async () => {
  const { room } = fullDisk();
  room.makeRoom = () => Promise.reject(new NoRoom('the disk is full'));
  expect(await room.take(10)).toBe(false);
  await expect(room.relieving(10, () => Promise.reject(diskFull()))).rejects.toThrow(NoRoom);
});

test('a disk that gives bytes back a little later is waited for, not emptied', async () => {
  const { room, disk, budget } = fullDisk();
  room.makeRoom = async (missing) => {
    const bytes = await missing();
    disk.evictions++;
    budget.release(bytes);
    setTimeout(() => {
      disk.free += bytes;
    }, 100);
    return true;
  };
  expect(await room.take(5)).toBe(true);
  expect(disk.evictions).toBe(1);
  expect(budget.taken).toBe(100);
});

test('nothing fits into nothing, and nothing always fits', async () => {
  const { room } = fullDisk();
  expect(await room.take(0)).toBe(true);
  expect(await room.take(1_001)).toBe(false);
});

test('a disk that stays full ends the waiting', async () => {
  const { room, disk } = fullDisk();
  room.makeRoom = () => {
    disk.evictions++;
    return Promise.resolve(true);
  };
  expect(await room.take(5)).toBe(false);
  expect(disk.evictions).toBeLessThanOrEqual(3);
});
