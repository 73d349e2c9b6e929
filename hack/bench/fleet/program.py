"""The controller as a process of its own, and what it uses."""

import re
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.measure import cpu_seconds_of
from sandbox.ports import free_ports
from sandbox.program import Program

_STOP_SECONDS = 40.0


@dataclass(frozen=True, slots=True)
class Controller:
    """`safehold controller` under its own ServiceAccount."""

    program: Program
    metrics_port: int

    @classmethod
    async def start(cls, kubeconfig: Path, log: Path, max_active_runs: int) -> Self:
        """Start it; it is not at work yet."""
        (port,) = free_ports(1)
        settings = {
            "MAX_ACTIVE_RUNS": str(max_active_runs),
            "METRICS_PORT": str(port),
            "LIVENESS_PORT": "0",
            "LOG_LEVEL": "WARNING",
        }
        variables = [f"SAFEHOLD_{name}={value}" for name, value in settings.items()]
        command = ("env", *variables, sys.executable, "-m", "safehold", "controller", "--kubeconfig", str(kubeconfig))
        return cls(await Program.start("the controller", command, log), port)

    async def stop(self) -> None:
        """Ask it to end, and wait."""
        await self.program.stop(_STOP_SECONDS)

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self.program.process.returncode is not None

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        return cpu_seconds_of(self.program.process.pid)

    def resident_bytes(self) -> int:
        """Memory that it holds now."""
        return self._memory("VmRSS")

    def peak_bytes(self) -> int:
        """The most memory that it has held."""
        return self._memory("VmHWM")

    def figures(self) -> dict[str, float]:
        """What /metrics says, by name with labels; empty before it answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
                text = answer.read().decode()
        except OSError:
            return {}
        samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    def _memory(self, field: str) -> int:
        status = Path(f"/proc/{self.program.process.pid}/status").read_text()
        match = re.search(rf"{field}:\s+(\d+) kB", status)
        return int(match[1]) * 1024 if match else 0
