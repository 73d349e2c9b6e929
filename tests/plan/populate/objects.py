"""A claim that asks to be filled with volume data of VMBackup orders-1, and what surrounds it."""

from typing import Any

from tests.plan.restore.objects import CLUSTER, NOW, OPERATOR, SHAPE, SHOP, TARGET, backup

from safehold.plan.populate.facts import CHOSEN_VOLUME, RECLAIM_POLICY, ClassFacts, PopulateFacts
from safehold.plan.storage import Claim, ClaimRef, ClaimShape
from safehold.plan.tenancy import NamespaceFacts

HOME = NamespaceFacts(name=SHOP, uid="shop-uid", labels={}, annotations={})
FAST = ClassFacts(name="fast", waits_for_consumer=False, reclaim_policy="Delete")


def facts(
    *,
    annotations: dict[str, str] | None = None,
    shape: ClaimShape = SHAPE,
    volume_name: str | None = None,
    phase: str = "Pending",
    **changes: Any,
) -> PopulateFacts:
    """What can be filled at once; `changes` replace parts."""
    namespace = changes.pop("namespace", HOME)
    claim = Claim(
        ref=ClaimRef(namespace.name, "orders-data", "claim-uid"),
        shape=shape,
        phase=phase,
        volume=volume_name,
        annotations={CHOSEN_VOLUME: "data"} if annotations is None else annotations,
    )
    given = {"backup": backup(), "source": HOME, "target": TARGET, "storage_class": FAST, **changes}
    return PopulateFacts(
        claim=claim,
        backup_name="orders-1",
        now=NOW,
        cluster_id=CLUSTER,
        operator_namespace=OPERATOR,
        namespace=namespace,
        **given,
    )


PRIME = Claim(
    ref=ClaimRef(OPERATOR, facts().prime_name, "prime-uid"),
    shape=SHAPE,
    phase="Bound",
    volume="pv-1",
    annotations={CHOSEN_VOLUME: "data", RECLAIM_POLICY: "Delete"},
)
