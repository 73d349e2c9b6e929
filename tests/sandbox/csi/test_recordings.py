"""Binding decisions against recordings of the real PV controller (../shared/transcripts, not part of the project)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml

from sandbox.cluster.client import Object
from sandbox.cluster.informer import Key, key_of
from sandbox.cluster.metadata import annotations_of
from sandbox.csi.binding import Bind, Lose, claim_step, volume_step
from sandbox.csi.names import BIND_COMPLETED

RECORDINGS = Path(__file__).parents[3] / ".." / "shared" / "transcripts"
_HEADER = re.compile(r"^# t=\S+ \S+\s+(\w+) (\w+) .*rv=(\d+)")

needs_recordings = pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="the recordings of the real controllers (../shared/transcripts) are not here"
)


@dataclass(frozen=True, slots=True)
class Change:
    """One recorded change of an object, and who wrote it last."""

    event: str
    version: int
    obj: Object


@dataclass(slots=True)
class Cluster:
    """Volumes and claims as they stood before the next change."""

    volumes: dict[str, Object] = field(default_factory=dict)
    claims: dict[Key, Object] = field(default_factory=dict)

    def apply(self, change: Change) -> None:
        """Takes a change in."""
        obj = change.obj
        claim = obj["kind"] == "PersistentVolumeClaim"
        if change.event == "DELETED":
            (self.claims.pop(key_of(obj), None) if claim else self.volumes.pop(obj["metadata"]["name"], None))
        elif claim:
            self.claims[key_of(obj)] = obj
        else:
            self.volumes[obj["metadata"]["name"]] = obj


def recorded(name: str) -> list[Change]:
    """The changes of volumes and claims, in the order of the API server's versions."""
    changes = _changes((RECORDINGS / f"{name}.yaml").read_text())
    return sorted(changes, key=lambda change: change.version)


def _changes(text: str) -> Iterator[Change]:
    for document in re.split(r"^---$", text, flags=re.MULTILINE):
        header = _HEADER.search(document.lstrip("\n"))
        if not header or header[2] not in ("PersistentVolume", "PersistentVolumeClaim") or header[1] == "STEP":
            continue
        obj = yaml.load(document, Loader=yaml.CSafeLoader)["object"]
        yield Change(header[1], int(header[3]), obj)


def _claim_namespace(obj: Object) -> str | None:
    return (obj["spec"].get("claimRef") or {}).get("namespace")


def storage_class(claim: Object) -> Object | None:
    """The recorded classes: one of them waits for the first consumer."""
    name = claim["spec"].get("storageClassName")
    binding = "WaitForFirstConsumer" if "wffc" in (name or "") else "Immediate"
    return {"provisioner": "hostpath.csi.k8s.io", "volumeBindingMode": binding} if name else None


def claim_verdict(cluster: Cluster, before: Object, after: Object) -> tuple[str, str] | None:
    """What the real controller did to a claim and what ours would have done; None for changes of another kind."""
    step = claim_step(before, cluster.volumes.values(), storage_class(before), cluster.volumes.get)
    if BIND_COMPLETED in annotations_of(after) and BIND_COMPLETED not in annotations_of(before):
        ours = step.volume["metadata"]["name"] if isinstance(step, Bind) else type(step).__name__
        return str(after["spec"]["volumeName"]), ours
    phases = (before["status"].get("phase"), after["status"].get("phase"))
    if phases[0] == phases[1] or "Lost" not in phases:
        return None
    return str(phases[1]), "Lost" if isinstance(step, Lose) else "Bound" if isinstance(step, Bind) else "Pending"


def volume_verdict(cluster: Cluster, before: Object, after: Object) -> tuple[str, str] | None:
    """The same for the phase of a volume."""
    if before["status"].get("phase") == after["status"].get("phase"):
        return None
    reference = before["spec"].get("claimRef") or {}
    claim = cluster.claims.get((reference.get("namespace", ""), reference.get("name", "")))
    if claim is not None and claim["metadata"].get("deletionTimestamp") and not claim["metadata"].get("finalizers"):
        claim = None  # the deletion carries the version of the last write
    step = volume_step(before, claim)
    phases = {"available": "Available", "unbind": "Available", "released": "Released", "bound": "Bound"}
    return str(after["status"]["phase"]), phases.get(step, "Bound")


def compare(name: str) -> tuple[int, list[tuple[int, str, str, str]]]:
    """How many decisions a recording holds, and those where ours is another: version, name, theirs, ours."""
    changes = recorded(name)
    # Volumes were recorded over all namespaces, claims only of some: without its claim nothing is decided.
    namespaces = {change.obj["metadata"].get("namespace") for change in changes} | {None}
    cluster, compared, different = Cluster(), 0, []
    for change in changes:
        obj = change.obj
        claim = obj["kind"] == "PersistentVolumeClaim"
        before = cluster.claims.get(key_of(obj)) if claim else cluster.volumes.get(obj["metadata"]["name"])
        if change.event == "MODIFIED" and before is not None and _claim_namespace(before) in namespaces:
            verdict = claim_verdict(cluster, before, obj) if claim else volume_verdict(cluster, before, obj)
            if verdict is not None:
                compared += 1
                if verdict[0] != verdict[1]:
                    different.append((change.version, obj["metadata"]["name"], *verdict))
        cluster.apply(change)
    return compared, different


@needs_recordings
@pytest.mark.parametrize(
    ("name", "decisions"),
    [
        ("60-static-pair", 22),
        ("60b-static-pair-deletes", 20),
        ("61-keep-a-base", 14),
        ("61b-keep-a-base-namespace-and-back", 11),
        ("62-handover", 93),
        ("62b-handover-kill-points", 203),
        ("62c-wffc-and-populator", 30),
        ("62d-handover-mismatch-and-poke", 25),
        ("62e-handover-block-and-prebound", 20),
        ("63-same-name-swap", 36),
        ("63b-swap-kill-points-and-undo", 204),
    ],
)
def test_decisions_match_the_recording(name: str, decisions: int) -> None:
    """For every binding, loss and phase that the real controller wrote, ours decides the same from the state before."""
    compared, different = compare(name)
    assert different == []
    assert compared >= decisions
