"""A plan for people: what it is of, what it moves, what it changes, and what is in its way."""

from safehold.api.restore_plan import PlannedChange, RestorePlan
from safehold.cli.repo.output import show_facts, show_table
from safehold.plan.summary import readable_bytes, readable_duration

_UNKNOWN = "unknown"


def show_plan(plan: RestorePlan) -> None:
    """Print it."""
    verified = f"{plan.verified_time:%FT%TZ}, by reading every disk whole" if plan.verified_time else "not verified"
    seconds = plan.estimated_seconds
    show_facts(
        f"Plan {plan.hash} of {plan.time:%FT%TZ}",
        {
            "point": plan.restore_point,
            "captured": f"{plan.capture_time:%FT%TZ}",
            "consistency": plan.consistency or _UNKNOWN,
            "verified": verified,
            "to fetch": _at_most(plan.bytes_to_fetch),
            "to write": _at_most(plan.bytes_to_write),
            "takes": f"about {readable_duration(seconds)}" if seconds is not None else _UNKNOWN,
            "estimate": plan.estimate_basis,
        },
    )
    volumes = [
        (each.name, each.path, each.claim_name, each.storage_class_name or "", _bytes(each.bytes_to_write))
        for each in plan.volumes
    ]
    if volumes:
        show_table("Volumes", ("volume", "path", "claim", "class", "at most "), volumes)
    if plan.changes:
        show_table("Changes", ("action", "kind", "name", "why"), [_change(each) for each in plan.changes])
    if plan.conflicts:
        rows = [(each.severity, each.reason, each.message) for each in plan.conflicts]
        show_table("Conflicts", ("severity", "reason", "message"), rows)


def _change(change: PlannedChange) -> tuple[str, str, str, str]:
    name = "/".join(part for part in (change.namespace, change.name) if part)
    meanwhile = ", and goes again" if change.temporary else ""
    return change.action, change.kind, name, f"{change.why}{meanwhile}"


def _at_most(count: int | None) -> str:
    return _UNKNOWN if count is None else f"at most {readable_bytes(count)}"


def _bytes(count: int | None) -> str:
    return _UNKNOWN if count is None else readable_bytes(count)
