"""Policies out of YAML files, as a repository of manifests has them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from safehold.api.base import API_VERSION
from safehold.api.durations import parse_duration
from safehold.api.policy import CLUSTER_TARGET_ONLY, BackupPolicySpec, ClusterBackupPolicySpec
from safehold.api.retention import GRACE_NEEDS_DELETE, KEEPS_SOMETHING
from safehold.api.timing import ENDS_DIFFER, EXACTLY_ONE_SCHEDULE, Blackout, Timing, Window
from safehold.errors import SpecError, UsageError
from safehold.plan.backup.turn import target_pool
from safehold.plan.policy.schedule import Schedule
from safehold.plan.retention.rules import SHARED, rules_by_tier
from safehold.retention.rules import RetentionRules

_SPECS: dict[str, type[BackupPolicySpec]] = {
    "BackupPolicy": BackupPolicySpec,
    "ClusterBackupPolicy": ClusterBackupPolicySpec,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyFile:
    """A policy as written: when it runs, where to, and how long its points stay."""

    kind: str
    namespace: str | None
    name: str
    timing: Timing
    target: str
    """The pool of places that its runs share."""
    rpo: timedelta | None
    rules: Mapping[str, RetentionRules]
    """By tier those of tiers with rules of their own, and those that all others share."""


def read_policies(path: Path) -> list[PolicyFile]:
    """All policies of the file, checked as far as that is possible without an API server; `-` is standard input."""
    policies = [_policy(found) for found in _objects(path) if _is_policy(found)]
    if not policies:
        raise UsageError(f"{path} holds no BackupPolicy and no ClusterBackupPolicy of {API_VERSION}")
    names = Counter((policy.kind, policy.namespace, policy.name) for policy in policies)
    if twice := [f"{kind} {name}" for (kind, _, name), times in names.items() if times > 1]:
        raise UsageError(f"{path} holds more than one of a name", found=", ".join(twice), remedy="rename or remove it")
    return policies


def _objects(path: Path) -> Iterator[Any]:
    """Each object of each document, of lists each item, whatever it is."""
    try:
        with click.open_file(str(path), encoding="utf-8") as file:
            documents = list(yaml.safe_load_all(file))
    except OSError as problem:
        raise UsageError(f"{path} cannot be read", found=problem.strerror) from problem
    except (yaml.YAMLError, ValueError) as problem:
        raise UsageError(f"{path} is not YAML", found=" ".join(str(problem).split())) from problem
    for document in documents:
        items = document.get("items") if isinstance(document, dict) else None
        yield from items if isinstance(items, list) else [document]


def _is_policy(found: Any) -> bool:
    return isinstance(found, dict) and found.get("apiVersion") == API_VERSION and found.get("kind") in _SPECS


def _policy(found: dict[str, Any]) -> PolicyFile:
    kind, metadata, written = found["kind"], found.get("metadata") or {}, found.get("spec") or {}
    if not isinstance(metadata, dict):
        raise SpecError(f"{kind} has no metadata", found=str(metadata))
    called = f"{kind} {metadata.get('name', '')}".rstrip()
    try:
        # As `kubectl apply` does it: a rule with a typing error would keep nothing, and a window would close nothing.
        spec = _SPECS[kind].model_validate(written, extra="forbid", by_alias=True, by_name=False)
    except ValidationError as problem:
        raise _invalid(called, problem) from None
    for is_so, sentence in _rules(spec):
        if not is_so:
            raise SpecError(f"{called}: {sentence}")
    rules = rules_by_tier(spec)
    if not all(each.keeps_something for each in rules.values()):
        raise SpecError(f"{called}: {KEEPS_SOMETHING[1]}")
    return PolicyFile(
        kind=kind,
        namespace=metadata.get("namespace"),
        name=metadata.get("name", ""),
        timing=spec,
        rpo=parse_duration(spec.objectives.rpo) if spec.objectives.rpo else None,
        target=target_pool(spec.target_ref, metadata.get("namespace") or ""),
        rules={SHARED: RetentionRules(), **rules},
    )


def _invalid(called: str, problem: ValidationError) -> SpecError:
    error = problem.errors(include_url=False)[0]
    place, given = error["loc"], error["input"]
    field = ".".join(str(part) for part in ("spec", *place))
    if error["type"] == "extra_forbidden":
        return SpecError(f"{called} has the unknown field {field}", remedy="correct its spelling, or remove it")
    if place[-1:] == ("schedule",) and isinstance(given, str):
        Schedule.parse(given, "UTC")
    return SpecError(f"{called} is not valid at {field}", found=error["msg"])


def _rules(spec: BackupPolicySpec) -> Iterator[tuple[bool, str]]:
    """What the API server checks of relations between fields, and nothing else here does."""
    yield (spec.schedule is None) != (spec.schedules is None), EXACTLY_ONE_SCHEDULE[1]
    if isinstance(spec, ClusterBackupPolicySpec):
        yield spec.target_ref.kind == "ClusterBackupTarget", CLUSTER_TARGET_ONLY[1]
    weekly: list[Window | Blackout] = [*(spec.windows or []), *(spec.blackouts or [])]
    for hours in weekly:
        yield hours.from_ is None or hours.from_ != hours.to, ENDS_DIFFER[1]
    for retention in (spec.retention, *(tier.retention for tier in spec.schedules or [])):
        if retention is not None:
            yield not retention.deleted_vm_grace or retention.after_vm_deleted == "Delete", GRACE_NEEDS_DELETE[1]
