"""The chart's rules against what the controller was seen to use, by the API server's audit log of all tests."""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from tests.e2e.world import OPERATOR, World

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import NAMESPACE
from sandbox.demo import chart

CONTROLLER = f"system:serviceaccount:{OPERATOR}:safehold"
_TAKEN_BACK = "a restore that fails takes it back only if it has created it, at its very end"
_ONLY_OF_GUESTS = "in a VM's namespace only for memory and for captures without KubeVirt, which need real guests"
UNUSED = {
    "instancetype.kubevirt.io/*:delete": _TAKEN_BACK,
    "apps/controllerrevisions:delete": _TAKEN_BACK,
    "k8s.cni.cncf.io/*": "Multus is not installed in the sandbox",
    "cdi.kubevirt.io/storageprofiles:get": "guests that are only disks can always be frozen",
    "subresources.kubevirt.io/virtualmachineinstances/unfreeze:update": "guests that are only disks never freeze",
    "subresources.kubevirt.io/virtualmachines/start:update": "the tests' VMs have the run strategy Always",
    "snapshot.storage.k8s.io/volumesnapshotclasses:list": "guests that are only disks can always be frozen",
    "snapshot.storage.k8s.io/volumesnapshots:create": _ONLY_OF_GUESTS,
    "snapshot.storage.k8s.io/volumesnapshots:delete": _ONLY_OF_GUESTS,
    "groupsnapshot.storage.k8s.io/*": _ONLY_OF_GUESTS,
    "/configmaps:delete": _TAKEN_BACK,
    "/serviceaccounts:delete": _TAKEN_BACK,
    "kubevirt.io/virtualmachines:delete": _TAKEN_BACK,
}
"""Rights (GROUP/RESOURCE:VERB, as patterns) that the tests do not come to use, each with the reason."""
_OTHER_WORLDS = "test_guests_"
"""Tests with real guests have a sandbox of their own, and so an audit log of their own."""
RESTORER = ":restorer"
"""A ServiceAccount of tests under which nobody acts but the controller, for a tenant's restore."""


class Right(NamedTuple):
    """A verb on a resource (with its subresource after a slash), everywhere or in the operator's namespace only."""

    group: str
    resource: str
    verb: str
    everywhere: bool


async def test_the_controller_may_what_it_does(world: World) -> None:
    """No request of the controller was forbidden, except that nothing can be created in a namespace that ends."""
    namespaces = [found["metadata"] for found in await world.cluster.list(NAMESPACE)]
    living = {metadata["name"] for metadata in namespaces if "deletionTimestamp" not in metadata}
    # Pods are for hooks to find, with a right that tenants give; test_hooks.py asks for them before it is given.
    forbidden = [entry for entry in _requests(world) if entry["code"] == 403 and entry["resource"] != "pods"]
    assert [entry for entry in forbidden if entry["verb"] != "create" or entry["namespace"] in living] == []


async def test_the_controller_may_no_more_than_it_does(world: World, request: pytest.FixtureRequest) -> None:
    """Every right of the chart was used, as widely as it is granted, but for those that are known and explained."""
    run = {item.path for item in request.session.items}
    ours = {path for path in Path(__file__).parent.glob("test_*.py") if not path.stem.startswith(_OTHER_WORLDS)}
    if left_out := ours - run:
        pytest.skip(f"only all tests together use all rights; {len(left_out)} files of this folder are not run")
    used = {_right(entry) for entry in _requests(world) if entry["code"] != 403}
    if any(entry["user"].endswith(RESTORER) for entry in _audited(world)):
        used.add(Right("", "serviceaccounts", "impersonate", everywhere=True))
    unused = set(_granted(chart.render({}))) - used
    assert sorted(right for right in unused if not _is_excused(right)) == []


def _requests(world: World) -> list[Object]:
    """What the controller asked of the API server."""
    found = [entry for entry in _audited(world) if entry["user"] == CONTROLLER]
    assert found
    return found


def _is_excused(right: Right) -> bool:
    return any(fnmatchcase(f"{right.group}/{right.resource}:{right.verb}", pattern) for pattern in UNUSED)


def _audited(world: World) -> Iterator[Object]:
    for line in (world.sandbox.state / "apiserver" / "audit.jsonl").read_text().splitlines():
        yield json.loads(line)


def _right(entry: Object) -> Right:
    resource = "/".join(part for part in (entry["resource"], entry["subresource"]) if part)
    return Right(entry["group"], resource, entry["verb"], everywhere=entry["namespace"] != OPERATOR)


def _granted(manifests: Mapping[str, str]) -> Iterator[Right]:
    """The rights in the controller's own roles."""
    text = next(text for name, text in manifests.items() if name.endswith("/rbac.yaml"))
    for role in yaml.safe_load_all(text):
        for rule in role.get("rules") or []:
            for group, resource, verb in product(rule["apiGroups"], rule["resources"], rule["verbs"]):
                yield Right(group, resource, verb, everywhere=role["kind"] == "ClusterRole")
