export const usage = `Pull-through caching mirror for container images.

Usage: entrepot <command> [options]

Commands:
  serve            run the mirror
  check            validate the configuration and print what is in effect, without secrets

Options:
  --config FILE    configuration (default: mirror.config.json in the current directory)
  --json           check: print JSON
  -h, --help       print this
  --version        print the version

Exit codes: 0 done, 1 failed, 2 wrong usage or configuration.
Every setting can be overridden by an environment variable: ENTREPOT_LISTEN_PORT=5001
serve: SIGHUP reads the configuration again, SIGTERM lets transfers finish and stops, a second one stops at once.
`;
