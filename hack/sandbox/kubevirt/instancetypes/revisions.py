"""The ControllerRevisions that keep a VM's instance type and preference as they were when it first used them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import AlreadyExistsError
from sandbox.cluster.kinds import CONTROLLER_REVISION
from sandbox.cluster.metadata import controller_reference
from sandbox.kubevirt.instancetypes.expansion import expanded
from sandbox.kubevirt.instancetypes.matchers import DEFAULT_KINDS, kind_of, matcher_of, revision_reference

_LABELS = "instancetype.kubevirt.io/object-"


@dataclass(slots=True)
class Matched:
    """What a VM's matchers stand for: the stored objects by field, and the references for its status."""

    objects: dict[str, Object] = field(default_factory=dict)
    references: dict[str, Object] = field(default_factory=dict)

    def expand(self, vm: Object) -> Object:
        """The VM as its instance is made of it."""
        return expanded(vm, self.objects.get("instancetype"), self.objects.get("preference"))


async def matched_of(cluster: Cluster, vm: Object) -> dict[str, Object | None]:
    """What a VM's matchers stand for, by field: its revision, or the object itself before there is one."""
    namespace = vm["metadata"]["namespace"]
    found: dict[str, Object | None] = {}
    for name in DEFAULT_KINDS:
        matcher = matcher_of(vm, name)
        if matcher is None:
            continue
        chosen, kind = _chosen_revision(vm, name, matcher), kind_of(matcher, name)
        if chosen:
            revision = await cluster.get(CONTROLLER_REVISION, chosen, namespace)
            found[name] = revision["data"] if revision else None
        elif kind is not None and matcher.get("name"):
            found[name] = await cluster.get(kind, matcher["name"], namespace if kind.namespaced else None)
        else:
            found[name] = None
    return found


class InstancetypeRevisions:
    """Finds the revisions of VMs, and makes them where there are none yet."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    async def of(self, vm: Object) -> Matched:
        """The VM's revisions, which outlive the objects that they were made of; OSError if nothing can be found."""
        matched = Matched()
        for name in DEFAULT_KINDS:
            matcher = matcher_of(vm, name)
            if matcher is not None:
                revision = await self._revision(vm, name, matcher)
                matched.objects[name] = revision["data"]
                reference: Object = {key: value for key, value in matcher.items() if key in ("name", "kind")}
                reference["controllerRevisionRef"] = {"name": revision["metadata"]["name"]}
                matched.references[f"{name}Ref"] = reference
        return matched

    async def _revision(self, vm: Object, name: str, matcher: Object) -> Object:
        namespace = vm["metadata"]["namespace"]
        chosen = _chosen_revision(vm, name, matcher)
        if chosen:
            found = await self._cluster.get(CONTROLLER_REVISION, chosen, namespace)
            if found is None:
                raise OSError(f"ControllerRevision {namespace}/{chosen} of the VM's {name} does not exist")
            return found
        kind = kind_of(matcher, name)
        source = (
            await self._cluster.get(kind, matcher["name"], namespace if kind.namespaced else None) if kind else None
        )
        if source is None:
            raise OSError(f"the VM's {name} {matcher['name']} does not exist")
        wanted = revision_of(vm, source)
        with suppress(AlreadyExistsError):
            return await self._cluster.create(CONTROLLER_REVISION, wanted)
        found = await self._cluster.get(CONTROLLER_REVISION, wanted["metadata"]["name"], namespace)
        if found is None:
            raise OSError(f"ControllerRevision {wanted['metadata']['name']} went while it was looked for")
        return found


def _chosen_revision(vm: Object, field: str, matcher: Object) -> str | None:
    """The revision that the spec names, or the one that the VM has used since."""
    reference = revision_reference(vm, field) or {}
    return matcher.get("revisionName") or (reference.get("controllerRevisionRef") or {}).get("name")


def with_matched(status: Object, matched: Matched) -> Object:
    """A VM's status with these references."""
    rest = {key: value for key, value in status.items() if key not in ("instancetypeRef", "preferenceRef")}
    return rest | matched.references


def revision_of(vm: Object, source: Object) -> Object:
    """The revision of an instance type or preference for a VM, which owns it."""
    metadata = source["metadata"]
    version = source["apiVersion"].rpartition("/")[2]
    parts = (vm["metadata"]["name"], metadata["name"], version, metadata["uid"], metadata["generation"])
    labels = {
        "generation": str(metadata["generation"]),
        "kind": source["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "version": version,
    }
    dropped = ("labels", "annotations", "finalizers", "ownerReferences", "managedFields")
    kept = {key: value for key, value in metadata.items() if key not in dropped}
    return {
        "metadata": {
            "name": "-".join(map(str, parts)),
            "namespace": vm["metadata"]["namespace"],
            "labels": {f"{_LABELS}{key}": value for key, value in labels.items()},
            "ownerReferences": [controller_reference(vm)],
        },
        "data": {**source, "metadata": kept},
        "revision": 0,
    }
