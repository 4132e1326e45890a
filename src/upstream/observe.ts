import type { Logger } from '../ops/logger.ts';
import { type Exchange, type ExchangeKind, urlText } from './exchange.ts';

/** One HTTP exchange, each retry and each step of a redirect counted apart. */
export interface ExchangeEvent {
  readonly registry: string;
  /** As configured; for tokens, the origin of the token endpoint. */
  readonly endpoint: string;
  readonly kind: ExchangeKind;
  readonly method: string;
  readonly status?: number;
  /** A code such as `ECONNREFUSED`, where no answer came. */
  readonly error?: string;
  readonly milliseconds: number;
}

interface Observers {
  readonly registry: string;
  readonly endpoint: string;
  readonly log: Logger;
  readonly onExchange?: ((event: ExchangeEvent) => void) | undefined;
}

export function observed({ registry, endpoint, log, onExchange }: Observers): (next: Exchange) => Exchange {
  return (next) => async (request) => {
    const startedAt = performance.now();
    const answer = await next(request);
    const event: ExchangeEvent = {
      registry,
      endpoint,
      kind: request.kind,
      method: request.method,
      ...(answer.ok ? { status: answer.value.status } : {}),
      ...(!answer.ok && answer.failure.kind === 'no-answer' ? { error: answer.failure.code } : {}),
      milliseconds: Math.round(performance.now() - startedAt),
    };
    onExchange?.(event);
    log.debug({ ...event, url: urlText(request.url) }, 'asked upstream');
    return answer;
  };
}
