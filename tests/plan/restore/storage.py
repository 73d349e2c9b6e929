"""The claims and persistent volumes of a cluster in miniature, and how they hurt.

What was recorded of the real controllers holds: a volume under Delete dies with its claim, one without claimRef is
taken by whoever asks, a claim that is held by a pod stays, and binding follows uids.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import count
from typing import Any

from tests.plan.restore.objects import NOW, SHAPE, SHOP

from safehold.api.restored_volumes import OwnerRecord
from safehold.plan.restore import steps
from safehold.plan.restore.volumes.handover import POKED
from safehold.plan.storage import Claim, ClaimRef, ClaimShape, NewClaim, Volume

VolumeStep = steps.KeepVolume | steps.SetReclaimPolicy | steps.AssignVolume
ClaimStep = steps.CreateClaim | steps.DeleteClaim | steps.PokeClaim | steps.OwnClaim


@dataclass(kw_only=True)
class Storage:
    """`contents` says what is on each persistent volume: restored, old, half, or empty; `lost` what died with one."""

    claims: dict[tuple[str, str], Claim] = field(default_factory=dict)
    volumes: dict[str, Volume] = field(default_factory=dict)
    contents: dict[str, str] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    now: datetime = NOW
    numbers: Any = field(default_factory=lambda: count(1))

    def content_of(self, claim: str) -> str | None:
        """What a claim of the VM's namespace holds, if it is bound both ways."""
        found = self.claims.get((SHOP, claim))
        if found is None or found.phase != "Bound" or found.volume is None:
            return None
        volume = self.volumes.get(found.volume)
        return self.contents[found.volume] if volume is not None and volume.claim == found.ref else None

    def add_volume(self, name: str, ref: ClaimRef, content: str, shape: ClaimShape = SHAPE) -> None:
        """A volume that is bound to this claim."""
        self.contents[name] = content
        self.volumes[name] = Volume(
            name=name,
            uid=f"{name}-uid",
            resource_version=str(next(self.numbers)),
            shape=shape,
            phase="Bound",
            reclaim_policy="Delete",
            claim=ref,
        )

    def write_volume(self, step: VolumeStep) -> None:
        """What the API server does with a write to a volume; its resourceVersion guards it."""
        match step:
            case steps.KeepVolume(name, _, labels, annotations):
                volume = self.volumes[name]
                marks = {"labels": {**volume.labels, **labels}, "annotations": {**volume.annotations, **annotations}}
                self._change(name, reclaim_policy="Retain", **marks)
            case steps.SetReclaimPolicy(name, _, policy, None):
                self._change(name, reclaim_policy=policy)
            case steps.SetReclaimPolicy(name, _, policy, dropped):
                kept = {key: value for key, value in self.volumes[name].labels.items() if key != dropped}
                self._change(name, reclaim_policy=policy, labels=kept, annotations={})
            case steps.AssignVolume(name, version, ref):
                if name in self.volumes and self.volumes[name].resource_version == version:
                    self._change(name, claim=ref)

    def write_claim(self, step: ClaimStep) -> None:
        """What the API server does with a write to a claim."""
        match step:
            case steps.CreateClaim(new):
                self.claims.setdefault((new.namespace, new.name), self._created_claim(new))
            case steps.DeleteClaim(ref):
                self.delete_claim(ref)
            case steps.PokeClaim(ref, value):
                claim = self.claims[ref.namespace, ref.name]
                self.claims[ref.namespace, ref.name] = replace(claim, annotations={**claim.annotations, POKED: value})
            case steps.OwnClaim(ref, vm, uid):
                owner = OwnerRecord(api_version="kubevirt.io/v1", kind="VirtualMachine", name=vm, uid=uid)
                place = (ref.namespace, ref.name)
                self.claims[place] = replace(self.claims[place], owners=(owner,))

    def delete_claim(self, ref: ClaimRef) -> None:
        """The deletion is remembered: the claim goes when nothing runs on it."""
        claim = self.claims.get((ref.namespace, ref.name))
        if claim is not None and claim.ref.uid == ref.uid:
            self.claims[ref.namespace, ref.name] = replace(claim, deleting=True)

    def settle(self, is_held: Callable[[Claim], bool]) -> None:
        """A round of the claim protection, the provisioner and the volume controller."""
        for place, claim in list(self.claims.items()):
            if claim.deleting and not is_held(claim):
                del self.claims[place]
        self._provision()
        for volume in list(self.volumes.values()):
            self._bind(volume)

    def _created_claim(self, new: NewClaim) -> Claim:
        return Claim(
            ref=ClaimRef(new.namespace, new.name, f"claim-{next(self.numbers)}"),
            shape=new.shape,
            volume=new.volume,
            labels=new.labels,
            annotations=new.annotations,
            owners=new.owners,
            snapshot=new.snapshot,
            created=self.now,
        )

    def _provision(self) -> None:
        for place, claim in list(self.claims.items()):
            if claim.phase == "Pending" and claim.volume is None:
                free = next((volume for volume in self.volumes.values() if volume.claim is None), None)
                name = free.name if free else f"pv-{next(self.numbers)}"
                if free is None:
                    self.add_volume(name, claim.ref, "empty", claim.shape)
                else:
                    self._change(name, claim=claim.ref)
                self.claims[place] = replace(claim, volume=name)

    def _bind(self, volume: Volume) -> None:
        holder = self.claims.get((volume.claim.namespace, volume.claim.name)) if volume.claim else None
        if volume.claim is None:
            return
        if holder is None or holder.ref != volume.claim:
            if volume.reclaim_policy == "Delete":
                del self.volumes[volume.name]
                self.lost.append(self.contents[volume.name])
            elif volume.phase != "Released":
                self._change(volume.name, phase="Released")
        elif holder.volume == volume.name:
            if volume.phase != "Bound":
                self._change(volume.name, phase="Bound")
            self.claims[holder.ref.namespace, holder.ref.name] = replace(holder, phase="Bound")

    def _change(self, name: str, **changes: Any) -> None:
        if name in self.volumes:
            version = str(next(self.numbers))
            self.volumes[name] = replace(self.volumes[name], resource_version=version, **changes)
