import type { ParameterizedContext } from 'koa';
import type { Asker } from '../mirror/asker.ts';
import type { LogEntry } from './request-log.ts';

/** What a request carries from one middleware to the next. */
export interface State {
  readonly asker: Asker;
  readonly entry: LogEntry;
}

export type Context = ParameterizedContext<State>;
