export const usage = `Pull-through caching mirror for container images.

Usage: entrepot <command> [options]

Commands:
  serve            run the mirror
  check            validate the configuration and print what is in effect, without secrets

These ask the running mirror, over a socket in its data directory:
  status           what it holds, how much room there is, and what is wrong
  ls [PATTERN]     the stored images, or those whose name matches: library/*, ghcr.io/**, **/alpine:3.*
  pin [PATTERN]    never remove images whose name matches; without a pattern: print what is pinned
  unpin PATTERN    take such a pin away
  gc               remove what serves nobody
  verify           hash everything that is stored, and name what is damaged

Options:
  --config FILE    configuration (default: mirror.config.json in the current directory)
  --json           all but serve: print JSON
  --dry-run        gc: only say what would be removed
  --repair         verify: fetch again what is damaged
  -h, --help       print this
  --version        print the version

Exit codes: 0 done, 1 failed (verify: damage was found), 2 wrong usage or configuration.
Every setting can be overridden by an environment variable: ENTREPOT_LISTEN_PORT=5001
serve: SIGHUP reads the configuration again, SIGTERM lets transfers finish and stops, a second one stops at once.
`;
