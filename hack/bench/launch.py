"""Runs one program and writes what it used into a file.

`launch.py REPORT PROGRAM ARGUMENT…`, a process of its own with few imports: the peak memory of a child counts
from the size of its parent at the fork.
"""

import json
import os
import sys
import time


def main(report: str, command: list[str]) -> int:
    """The program's exit code; its resource usage, child processes that it waited for included, goes to `report`."""
    started = time.monotonic()
    child = os.posix_spawnp(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    used = {
        "seconds": time.monotonic() - started,
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * 1024,
        "read_bytes": usage.ru_inblock * 512,
        "written_bytes": usage.ru_oublock * 512,
    }
    with open(report, "w", encoding="utf-8") as file:  # noqa: PTH123 - pathlib would add to the size
        json.dump(used, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
