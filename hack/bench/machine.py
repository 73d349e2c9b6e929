"""The machine that the bench runs on, and whether it had anything else to do."""

import os
import platform
import subprocess
from pathlib import Path

from bench.disk import GIB
from bench.measure import cores


def facts(folder: Path) -> dict[str, str]:
    """What figures depend on: processor, memory, kernel, file system."""
    mount = subprocess.run(
        ["findmnt", "--noheadings", "--output", "SOURCE,FSTYPE", "--target", folder],
        check=True,
        capture_output=True,
        text=True,
    )
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    return {
        "processor": f"{cores()} cores, {_processor()}",
        "memory": f"{memory:.0f} GiB",
        "kernel": platform.release(),
        "disk": " ".join(mount.stdout.split()),
        "Python": platform.python_version(),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
