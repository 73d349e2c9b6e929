"""What a base must have in common with the parent point."""

import pytest

from safehold.engine.changed_blocks.trust import doubt_in_base
from safehold.engine.geometry import FORMAT_1
from safehold.engine.points.manifest import BaseIdentity, Statistics, StoredVolume

SIZE = 1 << 30
SOURCE = BaseIdentity(
    pvc_uid="claim", volume_handle="handle", driver="driver", capacity_bytes=SIZE, last_restore_uid="restore"
)
STORED = StoredVolume(
    name="root",
    size_bytes=SIZE,
    chunk_bytes=FORMAT_1.chunk_bytes,
    map_fanout=FORMAT_1.map_fanout,
    levels=3,
    root="00" * 32,
    mode="Block",
    source=SOURCE,
    checkpoint="snapshot-1",
    statistics=Statistics(bytes_total=SIZE),
)


def doubt(
    stored: StoredVolume = STORED,
    base: str | None = "snapshot-1",
    source: BaseIdentity | None = SOURCE,
    size_bytes: int = SIZE,
) -> str | None:
    """The doubt, if there is one."""
    return doubt_in_base(stored, base=base, source=source, size_bytes=size_bytes, geometry=FORMAT_1)


def test_an_equal_base_is_trusted() -> None:
    """The same volume, size and checkpoint leave no doubt."""
    assert doubt() is None


def test_a_disk_without_a_cluster_needs_no_identity() -> None:
    """Where neither point nor run know a claim, the checkpoint and the size decide."""
    assert doubt(STORED.model_copy(update={"source": None}), source=None) is None


@pytest.mark.parametrize(
    ("field", "value", "word"),
    [
        ("pvc_uid", "other", "claim"),
        ("volume_handle", "other", "volume handle"),
        ("driver", "other", "driver"),
        ("capacity_bytes", SIZE * 2, "capacity"),
        ("last_restore_uid", "", "last restore"),
    ],
)
def test_another_volume_is_not_trusted(field: str, value: object, word: str) -> None:
    """Each part of the identity decides alone, and the sentence names it."""
    assert doubt(source=SOURCE.model_copy(update={field: value})) == (
        f"the volume is not the one of the last point: another {word}"
    )


@pytest.mark.parametrize(
    ("stored", "sentence"),
    [
        (STORED.model_copy(update={"checkpoint": None}), "does not say which snapshot"),
        (STORED.model_copy(update={"checkpoint": "snapshot-0"}), "is not the snapshot"),
        (STORED.model_copy(update={"source": None}), "does not say which volume"),
        (STORED.model_copy(update={"size_bytes": SIZE - 1}), f"had {SIZE - 1} bytes and has {SIZE}"),
        (STORED.model_copy(update={"chunk_bytes": 4096}), "another shape"),
        (STORED.model_copy(update={"map_fanout": 4}), "another shape"),
    ],
)
def test_another_point_is_not_trusted(stored: StoredVolume, sentence: str) -> None:
    """A point of another snapshot, size or shape says nothing about what has not changed."""
    assert sentence in (doubt(stored) or "")


def test_without_a_base_there_is_nothing_to_trust() -> None:
    """Whoever keeps no base is asked for what is allocated."""
    assert doubt(base=None) == "there is no base to ask for changes since"
