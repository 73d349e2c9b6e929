"""Restoring claims without a VM: they get plain names, which must be free."""

from collections.abc import Mapping

from safehold.api import VMRestore
from safehold.plan.refusal import Refusal
from safehold.plan.storage import Claim
from safehold.reasons import Reason

MAX_NAME = 253


def volume_claim_name(restore: VMRestore, volume: str) -> str:
    """The claim that one volume is restored to."""
    return f"{restore.spec.target.name}-{volume}"


def refuse_claim_name(name: str, namespace: str, existing: Mapping[str, Claim]) -> Refusal | None:
    """Why a claim of that name cannot be created."""
    if len(name) > MAX_NAME:
        message = (
            f"the claim {name[:60]}… would have a name of more than {MAX_NAME} characters; shorten spec.target.name"
        )
        return Refusal(Reason.INVALID_SPEC, message)
    if name in existing:
        message = f"claim {namespace}/{name} exists; give spec.target.name another name, or delete the claim"
        return Refusal(Reason.CLAIM_CONFLICT, message)
    return None
