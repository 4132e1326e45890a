import type { ParameterizedContext } from 'koa';
import type { Asker } from '../mirror/asker.ts';

/** What the line of a request says beyond its method, status, bytes and times. */
export interface LogEntry {
  repository?: string;
  reference?: string;
  /** `hit`, `miss`, … of what was served; the kind of failure of what was not. */
  outcome?: string;
  /** Why a body was cut. */
  reason?: string;
  /** Of the body. */
  bytes: number;
}

/** What a request carries from one middleware to the next. */
export interface State {
  readonly asker: Asker;
  readonly entry: LogEntry;
}

export type Context = ParameterizedContext<State>;
