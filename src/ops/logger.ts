import { pino } from 'pino';
import pretty from 'pino-pretty';
import { hidden, withoutSecrets } from './redaction.ts';

export type Logger = pino.Logger;

export interface LogOptions {
  readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error';
  readonly format: 'pretty' | 'json';
}

export function createLogger({ level, format }: LogOptions, destination: NodeJS.WritableStream): Logger {
  const options: pino.LoggerOptions = {
    level,
    // Which process and host it was is known to whoever collects the lines.
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }), log: withoutSecrets },
    // What a child logger is given passes no formatter.
    redact: { paths: ['authorization', 'cookie', 'credentials', 'password', 'secret', 'token'], censor: hidden },
    // Errors are serialized where secrets are removed.
    serializers: { err: (error: unknown) => error },
  };
  return pino(options, format === 'pretty' ? prettyStream(destination) : destination);
}

/** In this process: a worker thread would lose its last lines when the process ends. */
function prettyStream(destination: NodeJS.WritableStream): pino.DestinationStream {
  const colorize = 'isTTY' in destination && destination.isTTY === true;
  return pretty({ destination, colorize, translateTime: 'SYS:HH:MM:ss.l', singleLine: true });
}
