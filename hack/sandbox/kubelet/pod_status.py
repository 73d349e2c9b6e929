"""A pod's status as the kubelet reports it, computed from its containers' states."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sandbox.cluster.client import Object, timestamp

State = dict[str, dict[str, Any]]
"""One of waiting, running, terminated, with its fields."""


@dataclass(slots=True)
class ContainerState:
    """What the kubelet knows about one container."""

    name: str
    image: str
    state: State = field(default_factory=lambda: {"waiting": {"reason": "ContainerCreating"}})
    last_state: State = field(default_factory=dict)
    restarts: int = 0
    ready: bool = False
    started: bool = False
    done: bool = False
    """True once it will not be started again."""

    @property
    def exit_code(self) -> int | None:
        """The exit code of a container that is terminated."""
        return self.state["terminated"]["exitCode"] if "terminated" in self.state else None

    def reported(self) -> Object:
        """As an entry of containerStatuses."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "state": self.state,
            "lastState": self.last_state,
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
        }


def phase_of(init: list[ContainerState], main: list[ContainerState]) -> str:
    """Pending until the init containers are done and something ran; then Running; at the end Succeeded or Failed."""
    if any(state.done and state.exit_code for state in init):
        return "Failed"
    if not all(state.done for state in init):
        return "Pending"
    if all(state.done for state in main):
        return "Failed" if any(state.exit_code for state in main) else "Succeeded"
    started = any(state.last_state or "waiting" not in state.state for state in main)
    return "Running" if started else "Pending"


def status_of(
    pod: Object, init: list[ContainerState], main: list[ContainerState], *, address: str, now: datetime
) -> Object:
    """The whole status, with conditions whose times move only when they change."""
    before = pod.get("status") or {}
    phase = phase_of(init, main)
    finished = phase in ("Succeeded", "Failed")
    initialized = all(state.done and state.exit_code == 0 for state in init)
    ready = all(state.ready for state in main)
    unready = "PodCompleted" if phase == "Succeeded" else "PodFailed" if phase == "Failed" else "ContainersNotReady"
    wanted = [
        _condition("PodReadyToStartContainers", not finished, None),
        _condition("Initialized", initialized, "ContainersNotInitialized"),
        _condition("Ready", ready, unready),
        _condition("ContainersReady", ready, unready),
        _condition("PodScheduled", True, None),
    ]
    status: Object = {
        **before,
        "phase": phase,
        "conditions": merged_conditions(before.get("conditions") or [], wanted, now),
        "containerStatuses": [state.reported() for state in main],
        "startTime": before.get("startTime") or timestamp(now),
        "hostIP": address,
        "hostIPs": [{"ip": address}],
        "podIP": address,
        "podIPs": [{"ip": address}],
        "qosClass": before.get("qosClass") or qos_class(pod),
    }
    if init:
        status["initContainerStatuses"] = [state.reported() for state in init]
    return status


def merged_conditions(before: list[Object], wanted: list[Object], now: datetime) -> list[Object]:
    """The wanted conditions over those that are there; lastTransitionTime moves when a status flips."""
    known = {condition["type"]: condition for condition in before}
    for condition in wanted:
        earlier = known.get(condition["type"])
        same = earlier is not None and earlier["status"] == condition["status"]
        since = earlier.get("lastTransitionTime") if earlier and same else None
        known[condition["type"]] = {**condition, "lastTransitionTime": since or timestamp(now)}
    return list(known.values())


def qos_class(pod: Object) -> str:
    """Guaranteed, Burstable or BestEffort, by the containers' requests and limits."""
    resources = [container.get("resources") or {} for container in pod["spec"]["containers"]]
    if not any(item.get("requests") or item.get("limits") for item in resources):
        return "BestEffort"
    guaranteed = all(
        {"cpu", "memory"} <= (item.get("limits") or {}).keys()
        and item.get("requests", item["limits"]) == item["limits"]
        for item in resources
    )
    return "Guaranteed" if guaranteed else "Burstable"


def terminated(exit_code: int, reason: str, message: str, started: str | None, now: datetime) -> State:
    """The terminated state of a container; empty fields are left out."""
    fields = {
        "exitCode": exit_code,
        "reason": reason,
        "message": message or None,
        "startedAt": started,
        "finishedAt": timestamp(now),
    }
    return {"terminated": {name: value for name, value in fields.items() if value is not None}}


def must_restart(policy: str, exit_code: int) -> bool:
    """Whether a container that ended is started again."""
    return policy == "Always" or (policy == "OnFailure" and exit_code != 0)


def _condition(condition_type: str, holds: bool, reason: str | None) -> Object:
    condition: Object = {"type": condition_type, "status": "True" if holds else "False"}
    return condition | ({"reason": reason} if reason and not holds else {})
