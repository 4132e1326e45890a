import { stat, statfs } from 'node:fs/promises';
import { unlessMissing } from '../ops/durable-files.ts';

/** Bytes; undefined where there is no such file. */
export async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(({ size }) => size, unlessMissing);
}

export interface DiskSpace {
  /** What this user may still write. Others write there too: it is no promise. */
  readonly free: number;
  readonly size: number;
}

/** Of the disk that holds `path`, in bytes. */
export async function diskSpace(path: string): Promise<DiskSpace> {
  const { bavail, bsize, blocks } = await statfs(path);
  return { free: bavail * bsize, size: blocks * bsize };
}

export function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT');
}
