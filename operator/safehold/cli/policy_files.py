"""Policies out of YAML files, as a repository of manifests has them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import yaml
from pydantic import ValidationError

from safehold.api.base import camel_case
from safehold.api.durations import parse_duration
from safehold.api.policy import BackupPolicySpec, ClusterBackupPolicySpec
from safehold.api.retention import KEEPS_SOMETHING, Retention
from safehold.api.timing import Timing
from safehold.errors import SpecError, UsageError
from safehold.plan.backup.turn import target_pool
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
    try:
        with click.open_file(str(path)) as file:
            documents = [document for document in yaml.safe_load_all(file) if isinstance(document, dict)]
    except OSError as problem:
        raise UsageError(f"{path} cannot be read", found=problem.strerror) from problem
    except yaml.YAMLError as problem:
        raise UsageError(f"{path} is not YAML", found=" ".join(str(problem).split())) from problem
    objects = [item for document in documents for item in document.get("items") or [document]]
    policies = [_policy(found) for found in objects if found.get("kind") in _SPECS]
    if not policies:
        raise UsageError(f"{path} holds no BackupPolicy and no ClusterBackupPolicy")
    return policies


def _policy(found: dict[str, Any]) -> PolicyFile:
    kind, metadata, written = found["kind"], found.get("metadata") or {}, found.get("spec") or {}
    called = f"{kind} {metadata.get('name', '')}".rstrip()
    try:
        spec = _SPECS[kind].model_validate(written)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in error["loc"])
        raise SpecError(f"{called} is not valid at {field}", found=error["msg"]) from None
    for retention in _retentions(written):
        _refuse_unknown(called, retention)
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


def _retentions(written: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """As they are written: the policy's, and those of its tiers."""
    for place in (written, *(written.get("schedules") or [])):
        yield place.get("retention") or {}


def _refuse_unknown(called: str, retention: dict[str, Any]) -> None:
    """A rule with a typing error would keep nothing. The API server refuses it too, where it is asked to be strict."""
    known = {camel_case(field) for field in Retention.model_fields}
    if unknown := sorted(set(retention) - known):
        raise SpecError(
            f"{called} has unknown fields in retention", expected=", ".join(sorted(known)), found=", ".join(unknown)
        )
