import { randomUUID } from 'node:crypto';
import { readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { RegistryEvent } from '../oci/registry-event.ts';
import type { systemClock } from '../ops/clock.ts';
import type { Logger } from '../ops/logger.ts';
import { Courier } from './courier.ts';
import { type Endpoint, originOf, queueName } from './endpoint.ts';
import { defaultLimits, type Limits } from './limits.ts';
import { Losses } from './losses.ts';
import { Queue } from './queue.ts';
import { Receiver } from './receiver.ts';
import { recordOf } from './record.ts';

export interface NotificationsOptions {
  /** The data directory; the queues are in `notifications/` below it. */
  readonly dataPath: string;
  readonly endpoints: readonly Endpoint[];
  readonly clock: typeof systemClock;
  readonly log: Logger;
  /** Of this registry, as receivers are told: `host:port`. */
  readonly sourceAddress: string;
  /** Of this program. */
  readonly version: string;
  readonly random?: () => number;
  readonly limits?: Partial<Limits>;
}

/** An endpoint in force. */
interface Line {
  endpoint: Endpoint;
  readonly queue: Queue;
  readonly courier: Courier;
}

/**
 * Tells others what happens to content, by HTTP. Whoever calls {@link notify} never waits for a receiver: the event is put into
 * a file per endpoint, from which it is delivered at least once, in order, also by a later process.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  readonly #limits: Limits;
  readonly #directory: string;
  /** Changes with each start. */
  readonly #instanceId = randomUUID();
  /** By the name of the queue. */
  readonly #lines = new Map<string, Line>();
  /** Removed by a reload, and not at their end yet. */
  readonly #leaving = new Set<Promise<void>>();

  private constructor(options: NotificationsOptions) {
    this.#options = options;
    this.#limits = { ...defaultLimits, ...options.limits };
    this.#directory = join(options.dataPath, 'notifications');
  }

  /** Takes up what an earlier process has left in the queues. Throws when one cannot be used. */
  static async open(options: NotificationsOptions): Promise<Notifications> {
    const notifications = new Notifications(options);
    try {
      for (const endpoint of options.endpoints) notifications.#add(endpoint);
      await notifications.#lookAtOrphans();
    } catch (error) {
      await notifications.close();
      throw error;
    }
    return notifications;
  }

  /** Cheap, and never throws. When it returns, the event outlives this process; a power loss may cost it. */
  notify(event: RegistryEvent): void {
    try {
      const wanting = [...this.#lines.values()].filter(({ endpoint }) => endpoint.events.includes(event.action));
      if (wanting.length === 0) return;
      const { clock, sourceAddress } = this.#options;
      const at = clock.now();
      const source = { addr: sourceAddress, instanceID: this.#instanceId };
      const { maxTextLength } = this.#limits;
      const text = recordOf(event, { id: randomUUID(), now: at, source, maxTextLength });
      for (const { queue, courier } of wanting) {
        queue.append({ text, isPull: event.action === 'pull', at });
        courier.wake();
      }
    } catch (error) {
      this.#options.log.error({ err: error, action: event.action }, 'a notification could not be made');
    }
  }

  /**
   * For a reload; never throws. An endpoint is the same while its URL is, credentials aside. The queue of one that is gone
   * stays for `maxAgeMs`, so that a slip in the configuration costs nothing.
   */
  replace(endpoints: readonly Endpoint[]): void {
    const wanted = new Map(endpoints.map((endpoint) => [queueName(endpoint), endpoint]));
    for (const [name, line] of this.#lines) if (!wanted.has(name)) this.#remove(name, line);
    for (const [name, endpoint] of wanted) {
      try {
        const line = this.#lines.get(name);
        if (line === undefined) this.#add(endpoint);
        else this.#update(line, endpoint);
      } catch (error) {
        this.#options.log.error(
          { err: error, endpoint: originOf(endpoint), queue: name },
          'the queue of notifications cannot be used: this endpoint gets none',
        );
      }
    }
  }

  /** Stops sending. What is not delivered stays in the queues; what happens from now on is not put there. */
  async close(): Promise<void> {
    const lines = [...this.#lines.values()];
    this.#lines.clear();
    for (const line of lines) this.#leave(line);
    await Promise.all(this.#leaving);
  }

  #add(endpoint: Endpoint): void {
    const name = queueName(endpoint);
    const { clock, random = Math.random } = this.#options;
    const log = this.#options.log.child({ endpoint: originOf(endpoint), queue: name });
    const losses = new Losses(log);
    const queue = Queue.open(join(this.#directory, name), {
      limits: this.#limits,
      onLoss: (loss, events) => losses.add(loss, events),
      onTrouble: (error) => log.warn({ err: error }, 'the queue of notifications has trouble with its files'),
    });
    const receiver = this.#receiver(endpoint);
    const courier = new Courier(receiver, { queue, losses, clock, random, limits: this.#limits, log });
    this.#lines.set(name, { endpoint, queue, courier });
  }

  #update(line: Line, endpoint: Endpoint): void {
    const isSame = JSON.stringify(line.endpoint) === JSON.stringify(endpoint);
    line.endpoint = endpoint;
    if (!isSame) line.courier.replaceReceiver(this.#receiver(endpoint));
  }

  #remove(name: string, line: Line): void {
    this.#lines.delete(name);
    this.#options.log.info(
      { endpoint: originOf(line.endpoint), queue: name, waiting: !line.queue.isEmpty },
      'an endpoint of notifications is no longer configured; what waits for it is kept for a while',
    );
    this.#leave(line);
  }

  #leave({ queue, courier }: Line): void {
    // At once: the endpoint may come back with the next reload, before its courier has ended.
    queue.close();
    const leaving = courier.close().finally(() => this.#leaving.delete(leaving));
    this.#leaving.add(leaving);
  }

  #receiver(endpoint: Endpoint): Receiver {
    return new Receiver(endpoint, { limits: this.#limits, version: this.#options.version });
  }

  /** Queues of endpoints that are not configured: what is in them will be too old one day. */
  async #lookAtOrphans(): Promise<void> {
    const { clock, log } = this.#options;
    const names = await readdir(this.#directory).catch(() => []);
    for (const name of names.filter((found) => !this.#lines.has(found))) {
      const path = join(this.#directory, name);
      const files = await readdir(path).catch(() => []);
      const changes = await Promise.all(files.map(async (file) => (await stat(join(path, file))).mtimeMs));
      const isOld = clock.now() - Math.max(0, ...changes) > this.#limits.maxAgeMs;
      if (isOld) await rm(path, { recursive: true, force: true });
      else log.info({ queue: name }, 'notifications wait for an endpoint that is not configured');
    }
  }
}
