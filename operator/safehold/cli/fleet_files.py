"""Fleets to simulate: what `kubectl get vmbackups -A -o json` prints, or what is made up."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from safehold.api.base import API_VERSION
from safehold.api.vmbackup import VMBackup
from safehold.cli.policy_files import PolicyFile
from safehold.errors import UsageError
from safehold.plan.load.arrivals import PlayedPolicy
from safehold.plan.load.fleets import Fleet, GeneratedFleet, RecordedFleet
from safehold.plan.load.history import VMKey, past_run
from safehold.plan.names import POLICY, label_value

_EXPORT = "write it with `kubectl get vmbackups.safehold.dev -A -o json`"


@dataclass(frozen=True, slots=True)
class Machines:
    """A fleet, and which of its VMs policies have backed up before: labels of policies with VMs."""

    fleet: Fleet
    backed_up: frozenset[tuple[str, VMKey]] = frozenset()
    everywhere: bool = False
    """Whether all VMs are in every policy's reach."""

    def of(self, policy: PolicyFile) -> tuple[VMKey, ...]:
        """Those that have backups of a policy of this name; of a new policy, all that are in its reach."""
        vms = self.fleet.machines()
        if self.everywhere:
            return tuple(vms)
        reach = [vm for vm in vms if policy.namespace in (None, vm[0])]
        name = label_value(policy.name)
        return tuple([vm for vm in reach if (name, vm) in self.backed_up] or reach)


def made_up(vms: int, namespaces: int, seed: int) -> Machines:
    """A fleet that is made from the seed."""
    return Machines(GeneratedFleet(vms=vms, namespaces=namespaces, seed=seed), everywhere=True)


def exported(path: Path, seed: int) -> Machines:
    """The fleet of an export; `-` is standard input."""
    found = _backups(path)
    runs = tuple(run for each in found if (run := past_run(each)) is not None)
    if not runs:
        raise UsageError(f"{path} holds no VMBackup that has succeeded", remedy=_EXPORT)
    backed_up = {((each["metadata"].get("labels") or {}).get(POLICY, ""), _vm(each)) for each in found}
    return Machines(RecordedFleet.of(runs, seed), frozenset(backed_up))


def played_policies(files: Sequence[PolicyFile], machines: Machines) -> list[PlayedPolicy]:
    """The policies with the VMs that each one selects; a UsageError where one selects none."""
    played = [
        PlayedPolicy(
            name="/".join(part for part in (file.namespace, file.name) if part),
            timing=file.timing,
            pool=file.target,
            vms=machines.of(file),
            objective=file.rpo,
        )
        for file in files
    ]
    if idle := [policy.name for policy in played if not policy.vms]:
        raise UsageError(f"The fleet has no VM for {', '.join(idle)}", remedy="export the policy's namespace too")
    return played


def _backups(path: Path) -> list[dict[str, Any]]:
    try:
        with click.open_file(str(path)) as file:
            document = json.load(file)
    except OSError as problem:
        raise UsageError(f"{path} cannot be read", found=problem.strerror) from problem
    except ValueError as problem:
        raise UsageError(f"{path} is not JSON", found=str(problem), remedy=_EXPORT) from problem
    items = document.get("items") if isinstance(document, dict) else None
    if not isinstance(items, list):
        raise UsageError(f"{path} is not a list of VMBackups", remedy=_EXPORT)
    ours = [item for item in items if isinstance(item, dict) and item.get("kind") == "VMBackup"]
    # KubeVirt has kinds of similar names.
    return [_checked(path, item) for item in ours if item.get("apiVersion") == API_VERSION]


def _checked(path: Path, item: dict[str, Any]) -> dict[str, Any]:
    try:
        VMBackup.model_validate(item)
    except ValidationError as problem:
        error = problem.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in error["loc"])
        raise UsageError(f"{path} has a VMBackup that is not valid at {field}", found=error["msg"]) from None
    return item


def _vm(found: dict[str, Any]) -> VMKey:
    return found["metadata"].get("namespace") or "", found["spec"]["vm"]["name"]
