"""Backups that are told what changed."""

from __future__ import annotations

import itertools
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.changed_blocks.extent_list import ExtentList
from safehold.engine.disks.volumes import Extent
from safehold.engine.points.manifest import Manifest, StoredVolume
from safehold.errors import ChangedBlocksError, InterruptedRunError, SafeholdError

if TYPE_CHECKING:
    from tests.engine.changed_blocks.conftest import ChangingVM, Told
    from tests.engine.conftest import FaultyStore, Laboratory, StopAfter

CHUNK = 512
Noise = Callable[[int], bytes]


def volume_of(vm: ChangingVM) -> StoredVolume:
    """The volume of the VM's newest point."""
    latest = vm.laboratory.domain().points.latest(vm.laboratory.owner())
    assert latest
    return latest.volumes[0]


def changed_at(content: bytes, *offsets: int, length: int = 1) -> bytes:
    """The content with other bytes there."""
    new = bytearray(content)
    for offset in offsets:
        new[offset : offset + length] = bytes(255 - byte for byte in new[offset : offset + length])
    return bytes(new)


def test_reads_each_touched_chunk_once_and_nothing_else(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """Three changes, two of them in one chunk and one across an edge, are three chunks to read."""
    before = noise(100 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = changed_at(before, 0, 40, 60 * CHUNK - 1, 60 * CHUNK)
    changes = told("one", [Extent(0, 1), Extent(40, 1), Extent(60 * CHUNK - 1, 2)])
    manifest = vm.back_up(after, changes, checkpoint="two")
    assert vm.reads == [(0, CHUNK), (59 * CHUNK, 2 * CHUNK)]
    assert vm.laboratory.restored(manifest) == after
    stored = manifest.volumes[0]
    assert (stored.engine, stored.checkpoint) == ("CSI", "two")
    assert stored.engine_reason == f"what changed since {manifest.parent} was read"
    assert (stored.statistics.bytes_read, stored.statistics.bytes_changed) == (3 * CHUNK, 3 * CHUNK)


def test_nothing_changed_reads_nothing(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """An empty answer takes the whole map over."""
    content = noise(70 * CHUNK + 100)
    first = vm.back_up(content, checkpoint="one")
    second = vm.back_up(content, told("one"), checkpoint="two")
    assert vm.reads == []
    assert second.volumes[0].root == first.volumes[0].root
    assert vm.laboratory.restored(second) == content


def test_a_first_run_reads_what_is_allocated(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """Without a parent the other question is asked; what is not allocated is zeros, unread."""
    content = noise(4 * CHUNK) + bytes(40 * CHUNK) + noise(CHUNK + 10)
    changes = told("zero", allocations=[Extent(0, 4 * CHUNK), Extent(44 * CHUNK, CHUNK + 10)])
    manifest = vm.back_up(content, changes, checkpoint="one")
    assert changes.asked == ["allocated"]
    assert vm.reads == [(0, 4 * CHUNK), (44 * CHUNK, CHUNK + 10)]
    assert vm.laboratory.restored(manifest) == content
    assert manifest.volumes[0].engine_reason == "no earlier point to compare with; what is allocated was read"


@pytest.mark.parametrize(
    ("base", "update", "word"),
    [("other", {}, "not the snapshot"), (None, {}, "no base")]
    + [
        ("one", {field: value}, "not the one of the last point")
        for field, value in [("pvc_uid", "b"), ("volume_handle", "b"), ("driver", "b"), ("last_restore_uid", "b")]
    ],
)
def test_an_untrusted_base_leads_to_a_full_read(
    vm: ChangingVM, told: type[Told], noise: Noise, base: str | None, update: dict[str, str], word: str
) -> None:
    """The delta is not even asked for; all that is allocated is read and compared by hash."""
    before = noise(20 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = changed_at(before, 5 * CHUNK)
    changes = told(base, [], [Extent(0, len(after))])
    source = volume_of(vm).source
    assert source
    manifest = vm.back_up(after, changes, checkpoint="two", source=source.model_copy(update=update))
    assert changes.asked == ["allocated"]
    assert sum(length for _, length in vm.reads) == len(after)
    assert vm.laboratory.restored(manifest) == after
    assert manifest.volumes[0].statistics.bytes_changed == CHUNK
    assert word in manifest.volumes[0].engine_reason


def test_a_resized_disk_is_read(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """Changes since a base of another size are not asked for."""
    before = noise(20 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = before + noise(3 * CHUNK + 7)
    changes = told("one", [], [Extent(0, len(after))])
    manifest = vm.back_up(after, changes, checkpoint="two")
    assert changes.asked == ["allocated"]
    assert vm.laboratory.restored(manifest) == after


def test_what_is_no_longer_allocated_becomes_zeros(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """A full read by allocation forgets chunks that the disk has dropped."""
    before = noise(20 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = before[: 10 * CHUNK] + bytes(10 * CHUNK)
    manifest = vm.back_up(after, told(None, allocations=[Extent(0, 10 * CHUNK)]), checkpoint="two")
    assert vm.laboratory.restored(manifest) == after


BROKEN = {
    "truncated": ([Extent(0, 1)], ChangedBlocksError("The stream was cut")),
    "overlapping": ([Extent(0, 10), Extent(9, 10)], None),
    "unordered": ([Extent(600, 10), Extent(0, 10)], None),
    "empty": ([Extent(0, 0)], None),
    "past the end": ([Extent(20 * CHUNK - 1, 2)], None),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("question", ["changed", "allocated"])
def test_a_broken_answer_is_not_used(vm: ChangingVM, told: type[Told], noise: Noise, question: str, case: str) -> None:
    """The disk is scanned, the reason is said, and the point is right, whichever question was answered badly."""
    extents, problem = BROKEN[case]
    before = noise(20 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = changed_at(before, 3 * CHUNK, 19 * CHUNK)
    changes = told("one" if question == "changed" else None, extents, extents, problem)
    manifest = vm.back_up(after, changes, checkpoint="two")
    assert changes.asked == [question]
    assert vm.laboratory.restored(manifest) == after
    stored = manifest.volumes[0]
    assert stored.engine == "Scan"
    assert "What is said of changed blocks has" in stored.engine_reason or "cut" in stored.engine_reason
    assert f"everything was read and compared with {manifest.parent}" in stored.engine_reason


def test_a_broken_answer_fails_the_run_where_scanning_is_forbidden(
    vm: ChangingVM, told: type[Told], noise: Noise
) -> None:
    """No point is made."""
    content = noise(4 * CHUNK)
    with pytest.raises(ChangedBlocksError, match="cut"):
        vm.back_up(content, told(problem=ChangedBlocksError("The stream was cut")), may_scan=False)
    assert vm.laboratory.domain().points.latest(vm.laboratory.owner()) is None


def test_data_that_ends_early_leads_to_a_scan(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """Bytes that a remote disk does not have are not zeros; what was claimed on the way is packed after all."""
    before = noise(60 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = noise(60 * CHUNK)
    vm.ends_at = 30 * CHUNK
    manifest = vm.back_up(after, told("one", [Extent(0, len(after))]), checkpoint="two")
    assert manifest.volumes[0].engine == "Scan"
    assert "The data ended early" in manifest.volumes[0].engine_reason
    assert vm.laboratory.restored(manifest) == after


def test_verify_finds_and_repairs_what_a_source_kept_silent_about(
    vm: ChangingVM, told: type[Told], noise: Noise
) -> None:
    """Two of three changes are named: the point has all three, and says by how much the source lied."""
    before = noise(50 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = changed_at(before, 0, 10 * CHUNK, 40 * CHUNK)
    changes = told("one", [Extent(0, 1), Extent(40 * CHUNK, 1)])
    manifest = vm.back_up(after, changes, checkpoint="two", verify=True)
    stored = manifest.volumes[0]
    assert vm.laboratory.restored(manifest) == after
    assert (stored.engine, stored.verified, stored.mismatched_bytes) == ("CSI", True, CHUNK)
    assert f"{CHUNK} bytes differ that were not named" in stored.engine_reason


def test_verify_finds_data_outside_of_what_is_called_allocated(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """Also a first run can be lied to."""
    content = noise(9 * CHUNK + 5)
    manifest = vm.back_up(content, told(allocations=[Extent(0, 8 * CHUNK)]), checkpoint="one", verify=True)
    assert vm.laboratory.restored(manifest) == content
    assert manifest.volumes[0].mismatched_bytes == CHUNK + 5


def test_verify_is_content_with_an_honest_source(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """An answer may be wider than what changed."""
    before = noise(30 * CHUNK)
    vm.back_up(before, checkpoint="one")
    after = changed_at(before, 9 * CHUNK)
    manifest = vm.back_up(after, told("one", [Extent(0, 15 * CHUNK)]), checkpoint="two", verify=True)
    stored = manifest.volumes[0]
    assert (stored.verified, stored.mismatched_bytes) == (True, 0)
    assert stored.engine_reason.endswith("nothing was left out")
    assert sum(length for _, length in vm.reads) == len(after)


def test_a_lie_without_verify_reaches_the_point(vm: ChangingVM, told: type[Told], noise: Noise) -> None:
    """What verify is for: a chunk that nobody names is inherited."""
    before = noise(30 * CHUNK)
    vm.back_up(before, checkpoint="one")
    manifest = vm.back_up(changed_at(before, 9 * CHUNK), told("one"), checkpoint="two")
    assert vm.laboratory.restored(manifest) == before


def test_a_list_is_not_empty_the_second_time(vm: ChangingVM, noise: Noise) -> None:
    """A run that has to begin again cannot read a pipe twice, so it scans."""
    content = noise(4 * CHUNK)
    vm.back_up(content, checkpoint="one")
    changes = ExtentList(['{"offset": 0, "length": 1}\n'], "one")
    assert list(changes.changed()) == [Extent(0, 1)]
    manifest = vm.back_up(changed_at(content, 0), changes, checkpoint="two")
    assert "was read already" in manifest.volumes[0].engine_reason
    assert vm.laboratory.restored(manifest) == changed_at(content, 0)


chunk_contents = st.sampled_from([0, 0, 1, 2, 3])


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(st.data())
def test_any_history_gives_the_maps_of_full_scans(vm: ChangingVM, told: type[Told], data: st.DataObject) -> None:
    """Random disks and changes, told exactly or too widely: each point's map is that of a scan of the same disk."""
    laboratory_type, vm_type = type(vm.laboratory), type(vm)
    size = data.draw(st.integers(1, 90 * CHUNK))
    slots = -(-size // CHUNK)
    cells = data.draw(st.lists(chunk_contents, min_size=slots, max_size=slots))
    with tempfile.TemporaryDirectory() as folder:
        following = vm_type(laboratory_type(Path(folder)))
        following.back_up(disk_of(cells, size), checkpoint="0")
        for number in range(1, data.draw(st.integers(1, 3)) + 1):
            writes = data.draw(st.dictionaries(st.integers(0, slots - 1), chunk_contents, max_size=8))
            also_named = data.draw(st.sets(st.integers(0, slots - 1), max_size=4))
            for slot, value in writes.items():
                cells[slot] = value
            named = sorted(writes.keys() | also_named)
            extents = [Extent(slot * CHUNK, min(CHUNK, size - slot * CHUNK)) for slot in named]
            content = disk_of(cells, size)
            manifest = following.back_up(content, told(str(number - 1), extents), checkpoint=str(number))
            assert manifest.volumes[0].engine == "CSI"
            assert sum(length for _, length in following.reads) == sum(extent.length for extent in extents)
            assert following.laboratory.restored(manifest) == content
            scanned = following.laboratory.back_up(following.laboratory.disk(content), vm="scanned")
            assert manifest.volumes[0].root == scanned.volumes[0].root


def disk_of(cells: list[int], size: int) -> bytes:
    """A disk of chunks with these contents; 0 is zeros."""
    contents = {0: bytes(CHUNK)} | {
        value: random.Random(value).randbytes(CHUNK)  # noqa: S311 - test data, the same in every run
        for value in set(cells) - {0}
    }
    return b"".join(contents[value] for value in cells)[:size]


def told_run(laboratory: Laboratory, disk: Path, **options: Any) -> Manifest:
    """A run that is told the changes at 0 and at chunk 40."""
    lines = [f'{{"offset": {offset}, "length": 1}}\n' for offset in (0, 40 * CHUNK)]
    return laboratory.back_up(disk, run_id="told", changes=ExtentList(lines, "one"), checkpoint="two", **options)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
def test_a_told_run_survives_a_death_at_every_call(
    laboratory: Laboratory,
    noise: Noise,
    faulty: type[FaultyStore],
    after_effect: bool,
) -> None:
    """Whenever the store is gone, no point is wrong, and the run that is repeated makes the one that was meant."""
    before = noise(60 * CHUNK)
    first = laboratory.back_up(laboratory.disk(before), checkpoint="one")
    after = changed_at(before, 0, 40 * CHUNK)
    disk = laboratory.disk(after)
    objects, modified = dict(laboratory.store.objects), dict(laboratory.store.modified)
    for call in itertools.count(1):
        laboratory.store.objects, laboratory.store.modified = dict(objects), dict(modified)
        store = faulty(laboratory.store, fail_at=call, after_effect=after_effect)
        try:
            told_run(laboratory, disk, store=store)
        except SafeholdError:
            assert laboratory.restored(first) == before
            assert laboratory.restored(told_run(laboratory, disk)) == after
        else:
            break
    assert call > 5


@pytest.mark.parametrize("looks", [0, 1, 2])
def test_a_told_run_that_is_stopped_goes_on(
    laboratory: Laboratory, noise: Noise, stop_after: type[StopAfter], looks: int
) -> None:
    """Stopped while it collects the answer or reads, it leaves no point; the next attempt makes it."""
    before = noise(60 * CHUNK)
    laboratory.back_up(laboratory.disk(before), checkpoint="one")
    after = changed_at(before, 0, 40 * CHUNK)
    disk = laboratory.disk(after)
    with pytest.raises(InterruptedRunError):
        told_run(laboratory, disk, stop=stop_after(looks))
    assert laboratory.restored(told_run(laboratory, disk)) == after
