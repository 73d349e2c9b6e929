"""Runs programs at the same time and waits for all: a JSON list of argument lists on standard input."""

import json
import subprocess
import sys


def main() -> int:
    """The worst exit code; what failed says why on standard error."""
    commands: list[list[str]] = json.load(sys.stdin)
    running = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for command in commands]
    return max(process.wait() for process in running)


if __name__ == "__main__":
    sys.exit(main())
