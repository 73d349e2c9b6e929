"""A VM's manifest and all that it depends on, as they are at the time of the capture.

Only objects of the VM's own namespace are read (and cluster-wide instance types): a restore point is readable to its
namespace, so it must not carry what the namespace could not read before.
"""

import json
from collections.abc import Iterator
from typing import Any

from safehold.errors import NotFoundError
from safehold.kube.client import Cluster, Manifest
from safehold.kube.kinds import (
    CLUSTER_INSTANCETYPE,
    CLUSTER_PREFERENCE,
    CONFIG_MAP,
    CONTROLLER_REVISION,
    INSTANCETYPE,
    NETWORK_ATTACHMENT,
    PREFERENCE,
    SECRET,
    SERVICE_ACCOUNT,
    VM,
    Kind,
)

Reference = tuple[Kind, str]

_VOLUME_PATHS: tuple[tuple[Kind, tuple[str, ...]], ...] = (
    (SECRET, ("secret", "secretName")),
    (SECRET, ("cloudInitNoCloud", "secretRef", "name")),
    (SECRET, ("cloudInitNoCloud", "networkDataSecretRef", "name")),
    (SECRET, ("cloudInitConfigDrive", "secretRef", "name")),
    (SECRET, ("cloudInitConfigDrive", "networkDataSecretRef", "name")),
    (SECRET, ("sysprep", "secret", "name")),
    (SECRET, ("containerDisk", "imagePullSecret")),
    (CONFIG_MAP, ("sysprep", "configMap", "name")),
    (CONFIG_MAP, ("configMap", "name")),
    (SERVICE_ACCOUNT, ("serviceAccount", "serviceAccountName")),
)
_CREDENTIAL_PATHS = (
    ("sshPublicKey", "source", "secret", "secretName"),
    ("userPassword", "source", "secret", "secretName"),
)
_KERNEL_PULL_SECRET = ("domain", "firmware", "kernelBoot", "container", "imagePullSecret")
_HOOKS = "hooks.kubevirt.io/hookSidecars"
_INSTANCE_KINDS = {kind.kind: kind for kind in (INSTANCETYPE, CLUSTER_INSTANCETYPE, PREFERENCE, CLUSTER_PREFERENCE)}


async def read_machine(cluster: Cluster, namespace: str, name: str) -> list[Manifest]:
    """The VirtualMachine first, then what it depends on and exists. NotFoundError when the VM is gone."""
    vm = await cluster.get(VM, name, namespace)
    if vm is None:
        raise NotFoundError(f"VirtualMachine {namespace}/{name} was deleted before its manifest was read")
    vm = with_revisions(vm)
    found = [vm]
    for kind, dependency in sorted(set(references(vm)), key=lambda pair: (pair[0].kind, pair[1])):
        manifest = await cluster.get(kind, dependency, namespace if kind.namespaced else None)
        if manifest is not None:
            found.append(manifest)
    for manifest in found:
        manifest["metadata"].pop("managedFields", None)
    return found


def references(vm: Manifest) -> Iterator[Reference]:
    """Kind and name of everything that the VM names in its own namespace, or cluster-wide."""
    spec: Manifest = vm["spec"]
    instance: Manifest = spec["template"]["spec"]
    for volume in instance.get("volumes") or []:
        yield from ((kind, name) for kind, path in _VOLUME_PATHS if (name := _at(volume, path)))
    for credential in instance.get("accessCredentials") or []:
        yield from ((SECRET, name) for path in _CREDENTIAL_PATHS if (name := _at(credential, path)))
    if name := _at(instance, _KERNEL_PULL_SECRET):
        yield SECRET, name
    for network in instance.get("networks") or []:
        yield from _network(_at(network, ("multus", "networkName")), vm["metadata"]["namespace"])
    yield from _hooks(spec["template"].get("metadata") or {})
    for field, default in (
        ("instancetype", "VirtualMachineClusterInstancetype"),
        ("preference", "VirtualMachineClusterPreference"),
    ):
        yield from _matcher(spec.get(field) or {}, default)


def with_revisions(vm: Manifest) -> Manifest:
    """Newer KubeVirt keeps the revision that the VM runs with in its status only; a restore needs it in the spec."""
    for field in ("instancetype", "preference"):
        matcher = vm["spec"].get(field)
        revision = _at(vm.get("status") or {}, (f"{field}Ref", "controllerRevisionRef", "name"))
        if matcher and revision and not matcher.get("revisionName"):
            matcher["revisionName"] = revision
    return vm


def _network(name: str | None, namespace: str) -> Iterator[Reference]:
    if not name:
        return
    owner, _, own_name = name.rpartition("/")
    if owner in ("", namespace):
        yield NETWORK_ATTACHMENT, own_name


def _hooks(metadata: Manifest) -> Iterator[Reference]:
    try:
        sidecars = json.loads((metadata.get("annotations") or {}).get(_HOOKS) or "[]")
    except ValueError:  # KubeVirt ignores it too
        return
    for sidecar in sidecars:
        if name := _at(sidecar, ("configMap", "name")):
            yield CONFIG_MAP, name


def _matcher(matcher: Manifest, default: str) -> Iterator[Reference]:
    if not matcher.get("name"):
        return
    wanted = (matcher.get("kind") or default).lower()
    kind = next((kind for name, kind in _INSTANCE_KINDS.items() if name.lower() == wanted), None)
    if kind is not None:
        yield kind, matcher["name"]
    if matcher.get("revisionName"):
        yield CONTROLLER_REVISION, matcher["revisionName"]


def _at(manifest: Any, path: tuple[str, ...]) -> str | None:
    for step in path:
        manifest = manifest.get(step) if isinstance(manifest, dict) else None
    return manifest if isinstance(manifest, str) else None
