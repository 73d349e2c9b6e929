"""StorageClasses and networks that are called otherwise where a point is restored."""

from collections.abc import Mapping
from typing import Any

from safehold.api import VMRestore


def storage_class_of(restore: VMRestore, name: str | None) -> str | None:
    """The StorageClass in place of the one of the point."""
    mappings = restore.spec.mappings
    found = {each.before: each.after for each in mappings.storage_classes} if mappings else {}
    return found.get(name, name) if name else name


def networks_of(restore: VMRestore, namespace: str) -> dict[str, str]:
    """By `namespace/name` of the point: the network in its place. `namespace` is the original VM's."""
    mappings = restore.spec.mappings
    return {_whole(each.before, namespace): each.after for each in mappings.networks} if mappings else {}


def is_mapped(manifest: Mapping[str, Any], networks: Mapping[str, str], namespace: str) -> bool:
    """Whether an object of the point is a network that another one stands in for."""
    kind, name = manifest.get("kind"), str((manifest.get("metadata") or {}).get("name"))
    return kind == "NetworkAttachmentDefinition" and _whole(name, namespace) in networks


def map_networks(instance: Mapping[str, Any], networks: Mapping[str, str], namespace: str) -> None:
    """Let the networks of a VM's template name what stands in for them."""
    for network in instance.get("networks") or []:
        multus = network.get("multus")
        if multus:
            named = str(multus.get("networkName"))
            multus["networkName"] = networks.get(_whole(named, namespace), named)


def _whole(name: str, namespace: str) -> str:
    return name if "/" in name else f"{namespace}/{name}"
