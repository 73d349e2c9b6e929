"""What /internal/manifests/… answers: the VM, DataVolumes that import its volumes from here, and what they need."""

from __future__ import annotations

import json
from typing import Any

import yaml

from sandbox.cluster.client import Object, Objects
from sandbox.kubevirt.exports.source import Source, formats_of

TOKEN_HEADER = "x-kubevirt-export-token"  # noqa: S105 (the name of a header)
_DROPPED = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields", "finalizers")


def exported_machine(vm: Object) -> Object:
    """The VM as it could be created elsewhere: without its identity in this cluster and without a status."""
    metadata = {field: value for field, value in vm["metadata"].items() if field not in _DROPPED}
    metadata.pop("ownerReferences", None)
    return {
        "kind": "VirtualMachine",
        "apiVersion": "kubevirt.io/v1",
        "metadata": metadata,
        "spec": vm["spec"],
        "status": {},
    }


def data_volumes(source: Source, namespace: str) -> Objects:
    """A DataVolume per exported disk, under the name of the original claim and still without a URL."""
    return [
        {
            "kind": "DataVolume",
            "apiVersion": "cdi.kubevirt.io/v1beta1",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "source": {"http": {"url": ""}},
                "storage": {
                    field: claim["spec"][field]
                    for field in ("accessModes", "resources", "volumeMode")
                    if field in claim["spec"]
                },
            },
            "status": {},
        }
        for name, claim in source.claims.items()
        if "gzip" in formats_of(claim)
    ]


def all_manifests(stored: dict[str, str], base: str, claims: dict[str, str]) -> Objects:
    """From the ConfigMap's data: the authority, the VM, the DataVolumes with the URLs of this server.

    `claims` is the claim that is really served, by the name of the original.
    """
    export = stored["export-name"]
    trusted = {"kind": "ConfigMap", "apiVersion": "v1", **json.loads(stored["internal_ca_cm"])}
    items: Objects = [trusted, json.loads(stored["virtualmachine-manifest"])]
    for key, text in stored.items():
        if not key.startswith("dv-"):
            continue
        volume: Any = json.loads(text)
        volume["spec"]["source"]["http"] = {
            "url": f"{base}/volumes/{claims[volume['metadata']['name']]}/disk.img.gz",
            "certConfigMap": f"export-ca-cm-{export}",
            "secretExtraHeaders": [f"header-secret-{export}"],
        }
        items.append(volume)
    return items


def header_secret(export_name: str, token: str) -> Object:
    """The Secret that makes CDI send the token."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": f"header-secret-{export_name}"},
        "stringData": {"token": f"{TOKEN_HEADER}:{token}"},
    }


def as_json(items: Objects) -> str:
    """One List."""
    return json.dumps({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": items}, indent=4)


def as_yaml(items: Objects) -> str:
    """One document per object, each ended by a separator."""
    return "".join(f"{yaml.safe_dump(item, sort_keys=True)}---\n" for item in items)
