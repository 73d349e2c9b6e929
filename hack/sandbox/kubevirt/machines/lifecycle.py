"""Whether a VirtualMachine's instance should be made, ended or left alone: the run strategies as one pure decision.

Recorded: Always and Halted. After KubeVirt's documentation, not recorded: Manual, RerunOnFailure, state change
requests, and the delays after a failed start.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from sandbox.cluster.client import Object, Objects, timestamp
from sandbox.cluster.metadata import is_deleting

FINAL_PHASES = ("Succeeded", "Failed")
_FIRST_DELAY_SECONDS, _MAX_DELAY_SECONDS = 10.0, 300.0


class Action(StrEnum):
    """What to do with the instance."""

    KEEP = "keep"
    START = "start"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Decision:
    """`requests` are the state change requests that are still open; `retry_seconds` when to look again."""

    action: Action
    requests: Objects
    retry_seconds: float | None = None


def run_strategy(vm: Object) -> str:
    """The strategy, also from the older `running`."""
    if "running" in vm["spec"]:
        return "Always" if vm["spec"]["running"] else "Halted"
    return str(vm["spec"].get("runStrategy") or "Halted")


def phase_of(vmi: Object | None) -> str:
    """The instance's phase, empty if there is none."""
    return str(((vmi or {}).get("status") or {}).get("phase") or "")


def decide(vm: Object, vmi: Object | None, now: datetime) -> Decision:
    """What the strategy, the open requests and the instance's phase ask for."""
    requests = _open_requests((vm.get("status") or {}).get("stateChangeRequests") or [], vmi)
    if vmi is not None and is_deleting(vmi):
        return Decision(Action.KEEP, requests)
    if requests:
        return Decision(Action.START if requests[0]["action"] == "Start" and vmi is None else _stop_if(vmi), requests)
    wanted = _by_strategy(run_strategy(vm), phase_of(vmi) if vmi else None)
    if wanted is not Action.START:
        return Decision(wanted, requests)
    if (vm.get("status") or {}).get("restoreInProgress"):
        return Decision(Action.KEEP, requests)
    wait = _seconds_until_retry(vm, now)
    return Decision(Action.START, requests) if wait <= 0 else Decision(Action.KEEP, requests, wait)


def start_failure(vm: Object, vmi: Object, now: datetime) -> Object | None:
    """VirtualMachine.status.startFailure after this instance, None unless it failed before it ever ran."""
    before = (vm.get("status") or {}).get("startFailure")
    if phase_of(vmi) == "Running":
        return None
    ran = any(item["phase"] == "Running" for item in vmi["status"].get("phaseTransitionTimestamps") or [])
    uid = vmi["metadata"]["uid"]
    if phase_of(vmi) != "Failed" or ran or (before or {}).get("lastFailedVMIUID") == uid:
        return dict(before) if before else None
    count = int((before or {}).get("consecutiveFailCount") or 0) + 1
    delay = min(_FIRST_DELAY_SECONDS * 2 ** (count - 1), _MAX_DELAY_SECONDS)
    return {
        "consecutiveFailCount": count,
        "lastFailedVMIUID": uid,
        "retryAfterTimestamp": timestamp(now + timedelta(seconds=delay)),
    }


def _open_requests(requests: Objects, vmi: Object | None) -> Objects:
    """Requests that have not come true yet: a stop names the instance, a start is done once there is one."""
    remaining = list(requests)
    while remaining:
        first = remaining[0]
        done = (
            vmi is None or vmi["metadata"]["uid"] != first.get("uid")
            if first["action"] == "Stop"
            else vmi is not None and phase_of(vmi) not in FINAL_PHASES
        )
        if not done:
            return remaining
        remaining.pop(0)
    return remaining


def _by_strategy(strategy: str, phase: str | None) -> Action:
    """`phase` is None if there is no instance."""
    match strategy, phase:
        case "Always" | "RerunOnFailure", None:
            return Action.START
        case "Always", "Succeeded" | "Failed":
            return Action.STOP
        case "RerunOnFailure", "Failed":
            return Action.STOP
        case "Halted", str():
            return Action.STOP
        case _:
            return Action.KEEP


def _stop_if(vmi: Object | None) -> Action:
    return Action.KEEP if vmi is None else Action.STOP


def _seconds_until_retry(vm: Object, now: datetime) -> float:
    retry_at = ((vm.get("status") or {}).get("startFailure") or {}).get("retryAfterTimestamp")
    return (datetime.fromisoformat(retry_at) - now).total_seconds() if retry_at else 0.0
