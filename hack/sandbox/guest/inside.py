"""Looking into the guest of a VM of a running sandbox, from any process on the same machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from sandbox.guest.acknowledged import acknowledged_counters, all_acknowledged
from sandbox.guest.control import run_in_guest
from sandbox.guest.machine import guest_sockets

_CHECK_SECONDS = 300.0


async def guest_exec(state: Path, namespace: str, vm: str, command: str, seconds: float = 120.0) -> str:
    """Runs one line of shell in the guest and returns what it printed.

    `state` is the state folder of the kubevirt part. GuestError if the guest is not reachable or the line fails.
    """
    return await run_in_guest(guest_sockets(state, namespace, vm).control, command, seconds)


async def guest_check(
    state: Path, namespace: str, vm: str, when: Literal["boot", "now"] = "now"
) -> dict[str, dict[str, Any]]:
    """Volume → report: filesystem (clean, replayed, new, errors, unreadable), integrity, files, badFiles, counter, ok.

    "boot" is what the guest found before it wrote anything: the proof of a restored disk. "now" closes the ledgers for
    a moment. A volume whose name has more than 20 characters is named by its serial.
    """
    lines = await guest_exec(state, namespace, vm, f"checks {when}", _CHECK_SECONDS)
    reports = [json.loads(line) for line in lines.splitlines() if line.strip()]
    return {report["disk"]: report for report in reports}


def guest_counters(state: Path, namespace: str, vm: str) -> dict[str, int]:
    """Volume → the last counter that its ledger acknowledged, since the guest was booted."""
    return acknowledged_counters(guest_sockets(state, namespace, vm).acknowledged)


def acknowledged_lines(state: Path, namespace: str, vm: str) -> list[tuple[str, int]]:
    """(volume, counter) in the order in which its ledgers told them, since the guest was booted."""
    return all_acknowledged(guest_sockets(state, namespace, vm).acknowledged)
