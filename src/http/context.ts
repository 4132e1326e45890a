import type { ParameterizedContext } from 'koa';
import type { Asker } from '../mirror/asker.ts';

/** What the line of a request says beyond its method, status, bytes and times. */
export interface LogEntry {
  repository?: string;
  reference?: string;
  /** `hit`, `miss`, … of what was served; the kind of failure of what was not. */
  outcome?: string;
  /** Why the answer is an error or old, or why its body was cut, where it was us who cut it. */
  reason?: string;
  /** Of the body, handed to the socket; undefined for one that was written in one go. */
  bytes?: number;
}

/** What a request carries from one middleware to the next. */
export interface State {
  readonly asker: Asker;
  readonly entry: LogEntry;
}

export type Context = ParameterizedContext<State>;
