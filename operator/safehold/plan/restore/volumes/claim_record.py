"""What is recorded of a claim before it is replaced, so that the new one of its name is like it."""

from collections.abc import Mapping

from safehold.api.restored_volumes import RECORDED_ANNOTATIONS, RECORDED_BYTES, ClaimRecord, VolumeRestore
from safehold.plan.storage import Claim

_BINDING_PREFIXES = (
    "pv.kubernetes.io/",
    "volume.kubernetes.io/",
    "volume.beta.kubernetes.io/",
    "kubectl.kubernetes.io/last-applied-configuration",
)
"""Annotations that tie a claim to the volume that is replaced."""


def claim_record(claim: Claim) -> ClaimRecord:
    """The record of a claim as it is now."""
    wanted = {key: value for key, value in claim.annotations.items() if not key.startswith(_BINDING_PREFIXES)}
    annotations = _fitting(wanted)
    return ClaimRecord(
        uid=claim.ref.uid,
        labels=dict(claim.labels),
        annotations=annotations,
        left_out_annotations=sorted(wanted.keys() - annotations.keys())[:RECORDED_ANNOTATIONS],
        owner_references=list(claim.owners),
    )


def without_owners(record: VolumeRestore) -> VolumeRestore:
    """The record for a claim that outlives its VM: the garbage collector deletes what names an owner that is gone."""
    if record.old_claim is None:
        return record
    return record.model_copy(update={"old_claim": record.old_claim.model_copy(update={"owner_references": []})})


def _fitting(annotations: Mapping[str, str]) -> dict[str, str]:
    """The annotations that a status can hold, the small ones first: what is large is a tool's cache, as a rule."""
    kept: dict[str, str] = {}
    left = RECORDED_BYTES
    for key, value in sorted(annotations.items(), key=lambda item: (len(item[0]) + len(item[1].encode()), item[0])):
        left -= len(key) + len(value.encode())
        if left < 0 or len(kept) == RECORDED_ANNOTATIONS:
            break
        kept[key] = value
    return kept
