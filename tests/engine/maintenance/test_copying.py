"""Copying: points come into a repository of another key, nothing twice, and wherever a copy was cut off it goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.maintenance.check import check
from safehold.engine.maintenance.copying import Copied, copy_points
from safehold.errors import InterruptedRunError, StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore, Laboratory

    from safehold.engine.store.base import ObjectStore

CHUNK = 512
Noise = Callable[[int], bytes]


@pytest.fixture
def other(laboratory: Laboratory) -> Laboratory:
    """Another repository, of another key."""
    folder = laboratory.folder / "other"
    folder.mkdir()
    return type(laboratory)(folder)


def copied(laboratory: Laboratory, other: Laboratory, store: ObjectStore | None = None) -> list[Copied]:
    """Copy all points."""
    return list(copy_points(laboratory.domain(create=False), other.domain(store), stop=threading.Event()))


def three_points(laboratory: Laboratory, noise: Noise) -> dict[str, bytes]:
    """Two points of one VM, the second a little different, and one of another VM with holes; run ids and contents."""
    content = noise(40 * CHUNK)
    changed = content[: 10 * CHUNK] + noise(2 * CHUNK) + content[12 * CHUNK :]
    sparse = content[: 5 * CHUNK] + bytes(400 * CHUNK) + noise(CHUNK + 7)
    contents = {}
    for vm, each in (("vm", content), ("vm", changed), ("sparse", sparse)):
        contents[laboratory.back_up(laboratory.disk(each), vm=vm).run_id] = each
    return contents


def assert_copied(other: Laboratory, contents: dict[str, bytes]) -> None:
    """The other repository alone restores everything, and is sound."""
    assert check(other.domain(create=False), read_percent=100).damages == []
    points = other.domain().points
    manifests = [points.read(name) for name in points.all()]
    assert len(manifests) == len(contents)
    for manifest in manifests:
        assert other.restored(manifest) == contents[manifest.run_id]
        assert points.read_machine(manifest)[0]["kind"] == "VirtualMachine"


def test_points_are_whole_in_a_repository_of_another_key(
    laboratory: Laboratory, other: Laboratory, noise: Noise
) -> None:
    """With their order, owners and machines, deduplicated there as here, and no id in common."""
    contents = three_points(laboratory, noise)
    done = copied(laboratory, other)
    assert all(each.new for each in done)
    assert_copied(other, contents)
    latest = other.domain().points.latest(other.owner())
    assert latest is not None
    assert (latest.sequence, latest.parent) == (
        2,
        next(c.copy for c in done if c.vm == "vm" and c.copy != latest.point),
    )
    packs = [sum(len(each.store.objects[name]) for name in each.objects("packs/")) for each in (laboratory, other)]
    assert packs[1] <= 1.1 * packs[0]
    roots = [
        {volume.root for name in each.domain().points.all() for volume in each.domain().points.read(name).volumes}
        for each in (laboratory, other)
    ]
    assert roots[0].isdisjoint(roots[1])


def test_what_is_there_is_not_copied_again(laboratory: Laboratory, other: Laboratory, noise: Noise) -> None:
    """A second copy writes nothing; a new point costs what it changed."""
    contents = three_points(laboratory, noise)
    copied(laboratory, other)
    before = dict(other.store.objects)
    assert not any(each.new for each in copied(laboratory, other))
    assert other.store.objects == before
    content = contents["run-2"][: 39 * CHUNK] + noise(CHUNK)
    contents[laboratory.back_up(laboratory.disk(content)).run_id] = content
    (fresh,) = [each for each in copied(laboratory, other) if each.new]
    assert CHUNK < fresh.bytes_stored < 5 * CHUNK
    assert_copied(other, contents)


def test_only_chosen_points_are_copied(laboratory: Laboratory, other: Laboratory, noise: Noise) -> None:
    """The others can follow later."""
    three_points(laboratory, noise)
    domain = laboratory.domain()
    newest = next(iter(domain.points.names(laboratory.owner())))
    done = list(copy_points(domain, other.domain(), [newest], stop=threading.Event()))
    assert [each.source for each in done] == [newest.id]
    assert len(other.objects("points/")) == 1


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_copy_that_dies_anywhere_goes_on(
    laboratory: Laboratory, other: Laboratory, noise: Noise, faulty: type[FaultyStore], after_effect: bool
) -> None:
    """Whatever the call that fails, the next attempt brings all points, and nothing there was damaged."""
    contents = {}
    for content in (noise(6 * CHUNK), noise(6 * CHUNK) + bytes(20 * CHUNK) + noise(9)):
        contents[laboratory.back_up(laboratory.disk(content)).run_id] = content
    other.domain()
    counting = faulty(other.store)
    copied(laboratory, other, counting)
    for number in range(1, counting.calls + 1):
        fresh = type(other)(other.folder)
        fresh.domain()
        with pytest.raises(StoreUnavailableError):
            copied(laboratory, fresh, faulty(fresh.store, fail_at=number, after_effect=after_effect))
        copied(laboratory, fresh)
        assert_copied(fresh, contents)


def test_a_copy_that_is_stopped_keeps_what_it_sent(laboratory: Laboratory, other: Laboratory, noise: Noise) -> None:
    """What was packed is named in the index, so that the next attempt need not send it again."""
    contents = three_points(laboratory, noise)
    stop = threading.Event()
    stop.set()
    with pytest.raises(InterruptedRunError):
        list(copy_points(laboratory.domain(), other.domain(), stop=stop))
    assert other.objects("points/") == []
    copied(laboratory, other)
    assert_copied(other, contents)
