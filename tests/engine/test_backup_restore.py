"""Whole flows: backup, change, backup, restore; on a store in memory, with chunks of 512 bytes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.disks.comparing import verify
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import chunk_id
from safehold.engine.restore import fill
from safehold.errors import IntegrityError, KeyMaterialError, PointError, SafeholdError, UsageError, VolumeError
from safehold.reasons import Reason

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]
Version = tuple[list[tuple[int, int, int]], int]

pieces = st.lists(
    st.tuples(st.sampled_from([0, 1, 2, 3, 200]), st.integers(1, CHUNK + 100), st.integers(1, 12)), max_size=6
)


def content_of(plan: list[tuple[int, int, int]], tail: int) -> bytes:
    """A disk made of repeated bytes and zeros in pieces that do not respect chunks."""
    return b"".join(bytes([value]) * size * times for value, size, times in plan) + bytes([9]) * tail


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(pieces, st.integers(1, CHUNK)), min_size=1, max_size=4))
def test_every_point_restores_bit_identical(laboratory: Laboratory, versions: list[Version]) -> None:
    """Whatever the disk was when, grown or shrunk, each of its points gives exactly that back."""
    contents = [content_of(plan, tail) for plan, tail in versions]
    manifests = [laboratory.back_up(laboratory.disk(content)) for content in contents]
    for manifest, content in zip(manifests, contents, strict=True):
        assert laboratory.restored(manifest) == content


def test_points_follow_each_other(laboratory: Laboratory, noise: Noise) -> None:
    """A point names its parent, and the newest is found by one listing of one name."""
    disk = laboratory.disk(noise(3000))
    first, second = laboratory.back_up(disk), laboratory.back_up(disk)
    assert (first.parent, first.sequence) == (None, 1)
    assert (second.parent, second.sequence) == (first.point, 2)
    assert laboratory.domain().points.latest(laboratory.owner()) == second
    assert [name.id for name in laboratory.domain().points.names(laboratory.owner())] == [second.point, first.point]


def test_an_unchanged_disk_costs_a_manifest(laboratory: Laboratory, noise: Noise) -> None:
    """Nothing changed: no pack, no segment, no map node."""
    disk = laboratory.disk(noise(20_000))
    laboratory.back_up(disk)
    before = set(laboratory.store.objects)
    again = laboratory.back_up(disk)
    assert sorted(name.split("/")[0] for name in set(laboratory.store.objects) - before) == ["points"]
    statistics = again.volumes[0].statistics
    assert (statistics.bytes_read, statistics.bytes_changed, statistics.bytes_stored) == (20_000, 0, 0)


def test_a_changed_chunk_is_all_that_is_read_as_changed_and_stored(laboratory: Laboratory, noise: Noise) -> None:
    """One byte costs one chunk and its path in the map: three objects, the pack of both, a segment, and the point."""
    content = bytearray(noise(100 * CHUNK))
    laboratory.back_up(laboratory.disk(bytes(content)))
    before = set(laboratory.store.objects)
    content[50 * CHUNK] ^= 1
    manifest = laboratory.back_up(laboratory.disk(bytes(content)))
    added = sorted(name.split("/")[0] for name in set(laboratory.store.objects) - before)
    assert added == ["index", "packs", "points"]
    statistics = manifest.volumes[0].statistics
    assert statistics.bytes_changed == CHUNK
    assert CHUNK < statistics.bytes_stored < CHUNK + 5 * 200
    assert laboratory.restored(manifest) == content


def test_zeros_cost_nothing_to_read_or_keep(laboratory: Laboratory) -> None:
    """A disk that is one big hole is not read, and a chunk of zeros that is read is not kept."""
    manifest = laboratory.back_up(laboratory.disk(bytes(1_000_000)))
    assert manifest.volumes[0].statistics.bytes_read == 0
    assert laboratory.objects("packs/") == []
    written = laboratory.folder / "zeros"
    written.write_bytes(bytes(10 * CHUNK))
    manifest = laboratory.back_up(written)
    assert manifest.volumes[0].statistics.bytes_read == 10 * CHUNK
    assert laboratory.objects("packs/") == []
    assert laboratory.restored(manifest, "zeros") == bytes(10 * CHUNK)


def test_data_that_became_a_hole_counts_as_changed(laboratory: Laboratory, noise: Noise) -> None:
    """Discarded chunks are a change of the disk that costs no data."""
    laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    manifest = laboratory.back_up(laboratory.disk(bytes(40 * CHUNK)))
    assert manifest.volumes[0].statistics.bytes_changed == 40 * CHUNK
    assert laboratory.restored(manifest) == bytes(40 * CHUNK)


def test_a_clone_of_a_disk_is_not_sent_again(laboratory: Laboratory, noise: Noise) -> None:
    """Another VM of the domain with the same content finds all of it in the index, wherever it lies on its disk."""
    content = noise(200 * CHUNK)
    laboratory.back_up(laboratory.disk(content))
    packs = laboratory.objects("packs/")
    manifest = laboratory.back_up(laboratory.disk(bytes(3 * CHUNK) + content, "clone"), vm="other")
    data = manifest.volumes[0].statistics.bytes_stored
    assert data < 200 * 200  # map nodes only
    assert len(laboratory.objects("packs/")) < 1.3 * len(packs)
    assert laboratory.restored(manifest, "clone") == bytes(3 * CHUNK) + content


def test_deduplication_ends_at_the_domain(laboratory: Laboratory, noise: Noise) -> None:
    """In another key domain the same content has other ids, and is sent and kept again."""
    disk = laboratory.disk(noise(50 * CHUNK))
    laboratory.back_up(disk)
    whole = len(laboratory.objects("packs/target/"))
    other = laboratory.domain(name="namespace/b")
    assert other.keys.current.id_key != laboratory.domain().keys.current.id_key
    assert other.index.known(laboratory_ids(laboratory)) == set()
    assert whole > 0


def laboratory_ids(laboratory: Laboratory) -> list[bytes]:
    """Ids of the first domain's chunks, as its map names them."""
    key = laboratory.domain().keys.current.id_key
    content = (laboratory.folder / "root").read_bytes()
    ids = [chunk_id(content[at : at + CHUNK], key) for at in range(0, len(content), CHUNK)]
    assert len(laboratory.domain().index.known(ids)) == len(set(ids))
    return ids


def test_equal_chunks_of_one_run_are_kept_once(laboratory: Laboratory, noise: Noise) -> None:
    """Also when two threads meet them at the same time."""
    chunk = noise(CHUNK)
    manifest = laboratory.back_up(laboratory.disk(chunk * 300))
    assert manifest.volumes[0].statistics.bytes_changed == 300 * CHUNK
    assert manifest.volumes[0].statistics.bytes_stored < 20 * CHUNK
    assert laboratory.restored(manifest) == chunk * 300


def test_volumes_of_one_run_share_one_point(laboratory: Laboratory, noise: Noise) -> None:
    """Several disks, one manifest; each is restored by its name."""
    contents = {"root": noise(5000), "data": noise(9000)}
    manifest = laboratory.back_up(*(laboratory.disk(content, name) for name, content in contents.items()))
    for name, content in contents.items():
        assert laboratory.restored(manifest, name) == content
    with pytest.raises(PointError, match="has no volume swap: expected root or data"):
        laboratory.restored(manifest, "swap")


def test_the_machine_comes_back(laboratory: Laboratory, noise: Noise) -> None:
    """The VM's objects are kept with the point, behind the manifest, and unreadable in the store."""
    manifest = laboratory.back_up(laboratory.disk(noise(1000)), vm="shop-db")
    assert laboratory.domain().points.read_machine(manifest)[0]["metadata"] == {"name": "shop-db"}
    assert not any(b"shop-db" in body for body in laboratory.store.objects.values())


def test_a_repeated_run_makes_no_second_point(laboratory: Laboratory, noise: Noise) -> None:
    """A Job that is started again after it has committed reports the same point, also after a later run."""
    disk = laboratory.disk(noise(3000))
    first = laboratory.back_up(disk, run_id="run-x")
    laboratory.back_up(disk, run_id="run-y")
    objects = dict(laboratory.store.objects)
    assert laboratory.back_up(disk, run_id="run-x") == first
    assert laboratory.store.objects == objects


def test_forgetting_takes_one_point_and_leaves_the_others_whole(laboratory: Laboratory, noise: Noise) -> None:
    """Chunks stay, for others may use them; forgetting twice is no error of the catalogue."""
    content = noise(4000)
    first, second = (laboratory.back_up(laboratory.disk(content)) for _ in range(2))
    points = laboratory.domain().points
    points.forget(first)
    points.forget(first)
    with pytest.raises(PointError, match="does not exist"):
        points.read_owned(first.point, laboratory.owner())
    assert laboratory.restored(second) == content
    assert len(laboratory.objects("points/")) == 1


def test_a_point_of_another_vm_is_not_given(laboratory: Laboratory, noise: Noise) -> None:
    """The owner in the sealed manifest decides, not the id that was asked for."""
    manifest = laboratory.back_up(laboratory.disk(noise(1000)), vm="a")
    with pytest.raises(PointError, match="belongs to another VM") as caught:
        laboratory.domain().points.read_owned(manifest.point, laboratory.owner("b"))
    assert caught.value.reason is Reason.POINT_NOT_YOURS


def test_a_manifest_under_another_points_name_is_refused(laboratory: Laboratory, noise: Noise) -> None:
    """Whoever can write to the bucket cannot make one VM's point answer for another's."""
    mine = laboratory.back_up(laboratory.disk(noise(1000)), vm="a")
    theirs = laboratory.back_up(laboratory.disk(noise(1000)), vm="b")
    names = [PointName.of_id(each.point).manifest("target") for each in (mine, theirs)]
    laboratory.store.objects[names[0]] = laboratory.store.objects[names[1]]
    with pytest.raises(IntegrityError, match="not what its name says"):
        laboratory.domain().points.read_owned(mine.point, laboratory.owner("a"))


def damage(kind: str, body: bytes, at: int) -> bytes | None:
    """The body after the damage; None for an object that is gone."""
    if kind == "missing":
        return None
    if kind == "truncated":
        return body[: at % len(body)]
    place = at % len(body)
    return body[:place] + bytes([body[place] ^ 0x10]) + body[place + 1 :]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["flipped", "truncated", "missing"]), st.integers(0, 1 << 30), st.integers(0, 1 << 30))
def test_no_damage_is_silent(laboratory: Laboratory, kind: str, which: int, at: int) -> None:
    """Any damage to any object is found by a restore, or does not matter to it; never are wrong bytes handed over."""
    content = bytes(range(256)) * 40 + bytes(3000) + b"end"
    laboratory.store.objects.clear()
    (laboratory.folder / "restored").unlink(missing_ok=True)
    manifest = laboratory.back_up(laboratory.disk(content))
    name = sorted(laboratory.store.objects)[which % len(laboratory.store.objects)]
    damaged = damage(kind, laboratory.store.objects.pop(name), at)
    if damaged is not None:
        laboratory.store.objects[name] = damaged
    try:
        restored = laboratory.restored(laboratory.domain(create=False).points.latest(laboratory.owner()) or manifest)
    except SafeholdError:
        assert not (laboratory.folder / "restored").exists()
    else:
        assert restored == content


def test_damage_names_the_object(laboratory: Laboratory, noise: Noise) -> None:
    """The sentence tells an operator which object of the bucket to look at."""
    manifest = laboratory.back_up(laboratory.disk(noise(3000)))
    pack = max(laboratory.objects("packs/"), key=lambda name: len(laboratory.store.objects[name]))
    body = laboratory.store.objects[pack]
    laboratory.store.objects[pack] = body[:200] + bytes([body[200] ^ 1]) + body[201:]
    with pytest.raises(IntegrityError, match=pack):
        laboratory.restored(manifest)
    laboratory.store.objects[pack] = body[:300]
    with pytest.raises(IntegrityError, match=f"{pack} is truncated"):
        laboratory.restored(manifest)
    del laboratory.store.objects[pack]
    with pytest.raises(IntegrityError, match=f"{pack} is missing"):
        laboratory.restored(manifest)


def test_reading_back_finds_a_disk_that_lost_a_write(laboratory: Laboratory, noise: Noise) -> None:
    """Verification compares the disk with the point, not with what was sent to the disk."""
    content = noise(30 * CHUNK)
    manifest = laboratory.back_up(laboratory.disk(content))
    broken = bytearray(content)
    broken[20 * CHUNK + 7] ^= 1
    path = laboratory.disk(bytes(broken), "broken")
    with pytest.raises(VolumeError, match="does not hold") as caught:
        verify(laboratory.domain(), manifest, "root", path, stop=threading.Event())
    assert caught.value.reason is Reason.VERIFICATION_FAILED


def test_a_failed_restore_says_what_state_the_disk_is_in(laboratory: Laboratory, noise: Noise) -> None:
    """A device that is filled in part is called that; a file was not touched at all."""
    manifest = laboratory.back_up(laboratory.disk(noise(3000)))
    for name in laboratory.objects("packs/"):
        del laboratory.store.objects[name]
    device = laboratory.disk(noise(4000), "device")
    for in_place, said in ((True, "filled in part, do not use it"), (False, "was not touched")):
        with pytest.raises(IntegrityError, match=said):
            fill(
                laboratory.domain(),
                manifest,
                "root",
                device,
                stop=threading.Event(),
                progress=lambda _: None,
                in_place=in_place,
            )


@pytest.mark.parametrize("names", [[], ["root", "root"]])
def test_a_point_needs_volumes_of_different_names(laboratory: Laboratory, noise: Noise, names: list[str]) -> None:
    """A request that could not be restored is refused."""
    with pytest.raises(UsageError, match="different names"):
        laboratory.back_up(*(laboratory.disk(noise(100), name) for name in names))


def test_another_key_opens_nothing(laboratory: Laboratory, noise: Noise) -> None:
    """A repository that was made with another key is neither read nor written."""
    laboratory.back_up(laboratory.disk(noise(100)))
    objects = dict(laboratory.store.objects)
    laboratory.key = type(laboratory.key).generate()
    for create in (True, False):
        with pytest.raises(KeyMaterialError):
            laboratory.domain(create=create)
    assert laboratory.store.objects == objects


def test_a_place_without_a_repository_is_not_laid_out_by_a_reader(laboratory: Laboratory) -> None:
    """A restore from a wrong prefix leaves nothing there."""
    with pytest.raises(SafeholdError, match="no repository"):
        laboratory.domain(create=False)
    assert laboratory.store.objects == {}


def test_destroying_a_domains_keys_destroys_its_data(laboratory: Laboratory, noise: Noise) -> None:
    """What is left opens with nothing; other domains do not notice."""
    laboratory.domain(name="namespace/b")
    manifest = laboratory.back_up(laboratory.disk(noise(100)))
    for name in laboratory.objects("keys/target/"):
        del laboratory.store.objects[name]
    with pytest.raises(PointError, match="keys"):
        laboratory.domain(create=False)
    with pytest.raises(SafeholdError):
        laboratory.domain(create=True).points.read_owned(manifest.point, laboratory.owner())
    laboratory.domain(name="namespace/b", create=False)
