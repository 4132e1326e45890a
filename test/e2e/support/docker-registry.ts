import { writeFile } from 'node:fs/promises';
import type { Target } from '../../conformance/target.ts';
import { Program } from './program.ts';
import { acquire, answers, type Cleanup, freePort, Scratch, until } from './scratch.ts';

const startMs = 10_000;

/** Debian's docker-registry, open to everyone and with delete enabled: the other registry that the suite is tried on. */
export class DockerRegistry implements Target {
  readonly url: string;
  readonly namespace = 'conformance';
  readonly #cleanup: Cleanup;

  private constructor(url: string, cleanup: Cleanup) {
    this.url = url;
    this.#cleanup = cleanup;
  }

  static start(): Promise<DockerRegistry> {
    return acquire(async (cleanup) => {
      const scratch = cleanup.use(await Scratch.create('registry'));
      const port = await freePort();
      const configFile = scratch.file('registry.yml');
      await writeFile(configFile, configuration(scratch.file('content'), port));
      const program = cleanup.use(
        new Program('docker-registry', { program: 'docker-registry', args: ['serve', configFile] }),
      );
      const url = `http://127.0.0.1:${port}`;
      await until('docker-registry answers', startMs, async () => {
        if (!program.isRunning) throw new Error(`docker-registry did not start\n${program.log.tail}`);
        return answers(`${url}/`);
      });
      return new DockerRegistry(url, cleanup);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]();
  }
}

/** docker-registry reads YAML, and JSON is YAML. */
function configuration(rootdirectory: string, port: number): string {
  return JSON.stringify({
    version: 0.1,
    log: { level: 'warn', accesslog: { disabled: true } },
    storage: {
      filesystem: { rootdirectory },
      delete: { enabled: true },
      maintenance: { uploadpurging: { enabled: false } },
    },
    http: { addr: `127.0.0.1:${port}` },
  });
}
