"""Whom a run asks for changed blocks, as the engine takes it."""

from pathlib import Path

from safehold.engine.changed_blocks.kubevirt import PulledChanges
from safehold.engine.changed_blocks.kubevirt_connection import PullEndpoint
from safehold.engine.changed_blocks.port import ChangeSource
from safehold.errors import UsageError
from safehold.run import CsiChanges, KubeVirtChanges


def csi_source(changes: CsiChanges) -> ChangeSource:
    """The SnapshotMetadata service of a driver."""
    # gRPC takes a third of a second and some memory, which a run that asks nobody does without.
    from safehold.engine.changed_blocks.csi import CsiSource  # noqa: PLC0415

    return CsiSource(
        address=changes.address,
        authority=changes.ca,
        token_file=Path(changes.token_path),
        namespace=changes.namespace,
        snapshot=changes.snapshot,
        base=changes.base,
    )


def kubevirt_source(changes: KubeVirtChanges, folder: Path) -> PulledChanges:
    """KubeVirt's backup, which serves the bytes as well; UsageError if the run's folder has no token for it."""
    try:
        token = (folder / Path(changes.token_file).name).read_text()
    except OSError as problem:
        raise UsageError("The run has no token to pull a disk with", found=problem.strerror) from problem
    endpoint = PullEndpoint(map_url=changes.map_url, data_url=changes.data_url, ca=changes.ca, token=token)
    return PulledChanges(endpoint, changes.base)
