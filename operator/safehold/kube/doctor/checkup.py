"""All checks in turn. One that may not look, or that finds its kinds missing, says so and the next goes on."""

from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from datetime import datetime

from safehold.errors import ForbiddenError, NotServedError
from safehold.kube.client import Cluster
from safehold.kube.doctor.groups import check_groups
from safehold.kube.doctor.installation import (
    check_controller,
    check_definitions,
    check_guests,
    check_kubevirt,
    check_snapshot_classes,
    check_targets,
)
from safehold.kube.doctor.inventory import list_orphans
from safehold.kube.doctor.rights import check_rights
from safehold.kube.doctor.storage import (
    check_bases,
    check_changed_blocks,
    check_held_contents,
    check_storage_classes,
    check_undo_volumes,
)
from safehold.plan.doctor.orphans import Orphan
from safehold.plan.doctor.verdicts import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """What the doctor found."""

    verdicts: tuple[Verdict, ...]
    orphans: tuple[Orphan, ...]


async def check_cluster(cluster: Cluster, *, operator_namespace: str, service_account: str, now: datetime) -> Checkup:
    """Look at everything."""
    orphans = await list_orphans(cluster, operator_namespace=operator_namespace, now=now)
    checks = {
        "definitions": check_definitions(cluster),
        "controller": check_controller(cluster, operator_namespace),
        "rights": check_rights(cluster, operator_namespace, service_account),
        "kubevirt": check_kubevirt(cluster),
        "csi snapshots": check_snapshot_classes(cluster),
        "storage": check_storage_classes(cluster),
        "changed blocks": check_changed_blocks(cluster),
        "group snapshots": check_groups(
            cluster, operator_namespace=operator_namespace, service_account=service_account
        ),
        "targets": check_targets(cluster),
        "guests": check_guests(cluster),
        "held snapshots": check_held_contents(cluster, orphans),
        "bases": check_bases(cluster, operator_namespace=operator_namespace, now=now),
        "undo volumes": check_undo_volumes(cluster),
    }
    verdicts = [verdict for name, check in checks.items() async for verdict in _verdicts(name, check)]
    return Checkup(verdicts=(*verdicts, _orphanage(orphans)), orphans=orphans)


async def _verdicts(name: str, check: Awaitable[list[Verdict]]) -> AsyncIterator[Verdict]:
    try:
        for verdict in await check:
            yield verdict
    except NotServedError as error:
        yield Verdict(check=name, level="fail", message=error.what, remedy=error.remedy or "")
    except ForbiddenError as error:
        yield Verdict(check=name, level="warn", message=f"you may not look: {error}", remedy="ask somebody who may")


def _orphanage(orphans: tuple[Orphan, ...]) -> Verdict:
    if not orphans:
        return Verdict(check="orphans", level="ok", message="nothing of Safehold's was left behind")
    remedy = "the controller removes what is of owners that are gone; at once: safehold doctor --remove --yes"
    return Verdict(check="orphans", level="warn", message=f"{len(orphans)} objects were left behind", remedy=remedy)
