"""Lists of conditions as KubeVirt keeps them: snapshot kinds say everything in `reason`, machines use `message`."""

from __future__ import annotations

from sandbox.cluster.client import Object, Objects


def condition_of(obj: Object | None, condition_type: str) -> Object | None:
    """The condition of that type in the object's status."""
    conditions = ((obj or {}).get("status") or {}).get("conditions") or []
    return next((item for item in conditions if item["type"] == condition_type), None)


def is_true(obj: Object | None, condition_type: str) -> bool:
    """True if the condition is there and "True"."""
    return bool((condition_of(obj, condition_type) or {}).get("status") == "True")


def with_reason(conditions: Objects, condition_type: str, status: bool, reason: str, now: str) -> Objects:
    """The list with one condition set in place, or appended. The time moves only when the status does."""
    wanted = "True" if status else "False"
    before = next((item for item in conditions if item["type"] == condition_type), None)
    moved = now if before is None or before["status"] != wanted else before["lastTransitionTime"]
    changed: Object = {
        "type": condition_type,
        "status": wanted,
        "reason": reason,
        "lastProbeTime": None,
        "lastTransitionTime": moved,
    }
    if before is None:
        return [*conditions, changed]
    return [changed if item is before else item for item in conditions]


def with_condition(conditions: Objects, changed: Object, now: str) -> Objects:
    """The list with a whole condition set in place or appended; its transition time moves only with its status."""
    before = next((item for item in conditions if item["type"] == changed["type"]), None)
    if before is None:
        return [*conditions, {"lastProbeTime": None, "lastTransitionTime": now, **changed}]
    same = before["status"] == changed["status"]
    moved = {
        "lastProbeTime": before.get("lastProbeTime"),
        "lastTransitionTime": before.get("lastTransitionTime") if same else now,
        **changed,
    }
    return [moved if item is before else item for item in conditions]


def without_condition(conditions: Objects, condition_type: str) -> Objects:
    """The list without the condition of that type."""
    return [item for item in conditions if item["type"] != condition_type]


def with_meta_condition(conditions: Objects, changed: Object, now: str) -> Objects:
    """As with_condition, for the kinds that use Kubernetes' own conditions, which have no lastProbeTime."""
    found = with_condition(conditions, changed, now)
    return [{field: value for field, value in item.items() if field != "lastProbeTime"} for item in found]
