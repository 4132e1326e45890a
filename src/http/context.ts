import type { ParameterizedContext } from 'koa';
import type { Asker } from '../mirror/asker.ts';
import type { Client } from './client.ts';
import type { Visitor } from './visitor.ts';

/** What the line of a request says beyond its method, status, bytes and times. */
export interface LogEntry {
  /** Of this server. */
  user?: string;
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
  /** Where it comes from, and how it called us. */
  readonly client: Client;
  /** How it reaches this server, as `scheme://host[:port]`. */
  readonly publicUrl: string;
  readonly entry: LogEntry;
  /** Set before any route is taken that has to do with content. */
  visitor: Visitor | undefined;
}

export type Context = ParameterizedContext<State>;
