"""Copies of revisions: a snapshot keeps its own, and a restore makes the VM's out of them.

As KubeVirt does it, only revisions that the VM's spec names are kept; those that only its status names are not.
"""

from __future__ import annotations

import copy
from contextlib import suppress

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import CONTROLLER_REVISION
from sandbox.cluster.metadata import controller_reference
from sandbox.kubevirt.instancetypes.matchers import DEFAULT_KINDS


def named_revisions(spec: Object) -> list[str]:
    """The revisions that a VM's spec names."""
    matchers = [spec.get(field) or {} for field in DEFAULT_KINDS]
    return [str(matcher["revisionName"]) for matcher in matchers if matcher.get("revisionName")]


def with_copied_revisions(spec: Object, old: str, new: str) -> Object:
    """The VM's spec naming the copies, whose names have `new` where those of the originals have the owner's name."""
    changed = copy.deepcopy(spec)
    for field in DEFAULT_KINDS:
        if (changed.get(field) or {}).get("revisionName"):
            changed[field]["revisionName"] = _copied_name(changed[field]["revisionName"], old, new)
    return changed


async def copy_revisions(
    cluster: Cluster, spec: Object, namespace: str, *, old: str, new: str, owner: Object | None
) -> None:
    """Copies the revisions that the spec names; those that exist, and originals that do not, are passed over."""
    for name in named_revisions(spec):
        original = await cluster.get(CONTROLLER_REVISION, name, namespace)
        if original is None:
            continue
        metadata: Object = {"name": _copied_name(name, old, new), "namespace": namespace}
        metadata["labels"] = original["metadata"].get("labels") or {}
        if owner is not None:
            metadata["ownerReferences"] = [controller_reference(owner)]
        with suppress(AlreadyExistsError):
            made = {"metadata": metadata, "data": original["data"], "revision": original["revision"]}
            await cluster.create(CONTROLLER_REVISION, made)


async def own_revisions(cluster: Cluster, vm: Object) -> None:
    """Makes a VM that was just created the owner of the revisions that it names."""
    for name in named_revisions(vm["spec"]):
        body = {"metadata": {"ownerReferences": [controller_reference(vm)]}}
        await cluster.patch(CONTROLLER_REVISION, name, body, vm["metadata"]["namespace"])


def _copied_name(name: str, old: str, new: str) -> str:
    return name.replace(old, new, 1)
