"""Persistent TPM and EFI variables: the claim that KubeVirt makes for them at a VM's first start, and its files.

The guests have neither device: in the place of swtpm and OVMF their files are made here, with content that tells one
machine from another. Names and folders are KubeVirt's: TPM state lies under the firmware id, variables under the VM's
name.
"""

from __future__ import annotations

import secrets
from pathlib import Path

from sandbox.cluster.client import Cluster, Object, Objects
from sandbox.cluster.kinds import PERSISTENT_VOLUME_CLAIM
from sandbox.cluster.metadata import controller_uid, is_deleting, labels_of

STATE_LABEL = "persistent-state-for"
_SIZE = "10Mi"
_CONTENT_BYTES = 4096


def keeps_state(instance_spec: Object) -> bool:
    """True if the spec of an instance has a persistent TPM or persistent EFI variables."""
    domain = instance_spec.get("domain") or {}
    tpm = (domain.get("devices") or {}).get("tpm") or {}
    efi = ((domain.get("firmware") or {}).get("bootloader") or {}).get("efi") or {}
    return bool(tpm.get("persistent") or efi.get("persistent"))


def state_claim_among(claims: Objects, vm: str) -> Object | None:
    """The claim with a VM's state: found by its label, or by the name that it had before KubeVirt 1.4."""
    living = [claim for claim in claims if not is_deleting(claim)]
    labelled = [claim for claim in living if labels_of(claim).get(STATE_LABEL) == vm]
    named = [claim for claim in living if claim["metadata"]["name"] == f"{STATE_LABEL}-{vm}"]
    return next(iter([*labelled, *named]), None)


def state_volumes(claims: Objects, vm: str) -> Objects:
    """The volume as snapshots know it; none while there is no claim."""
    claim = state_claim_among(claims, vm)
    if claim is None:
        return []
    return [{"name": f"{STATE_LABEL}-{vm}", "persistentVolumeClaim": {"claimName": claim["metadata"]["name"]}}]


async def provided_state_claim(cluster: Cluster, vmi: Object) -> Object | None:
    """The claim that an instance needs, made if there is none; None for an instance without persistent devices."""
    if not keeps_state(vmi["spec"]):
        return None
    namespace, vm = vmi["metadata"]["namespace"], vmi["metadata"]["name"]
    found = state_claim_among(await cluster.list(PERSISTENT_VOLUME_CLAIM, namespace), vm)
    if found is not None:
        return found
    owners = [owner for owner in vmi["metadata"]["ownerReferences"] if owner["uid"] == controller_uid(vmi)]
    claim = {
        "metadata": {
            "generateName": f"{STATE_LABEL}-{vm}-",
            "namespace": namespace,
            "labels": {STATE_LABEL: vm},
            "ownerReferences": owners,
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "volumeMode": "Filesystem",
            "resources": {"requests": {"storage": _SIZE}},
        },
    }
    return await cluster.create(PERSISTENT_VOLUME_CLAIM, claim)


def write_state(folder: Path, vmi: Object) -> None:
    """What the devices find, or make where they find nothing."""
    firmware = vmi["spec"]["domain"].get("firmware") or {}
    for path in (
        folder / "swtpm" / str(firmware.get("uuid")) / "tpm2" / "tpm2-00.permall",
        folder / "nvram" / f"{vmi['metadata']['name']}_VARS.fd",
        folder / "cbt" / "bitmaps.qcow2",
    ):
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(secrets.token_bytes(_CONTENT_BYTES))
