"""Whom a run asks for changed blocks, as the engine takes it."""

from pathlib import Path

from safehold.engine.changed_blocks.port import ChangeSource
from safehold.run import CsiChanges


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
