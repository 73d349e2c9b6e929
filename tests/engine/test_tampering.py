"""Whoever can write to the bucket: a flipped bit, a cut, an exchange, in every kind of object of the test vectors."""

import hashlib
import json
import threading
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.maintenance.check import check
from safehold.engine.names import PointName
from safehold.engine.plaintext import rescue
from safehold.engine.plaintext.objects import check_texts
from safehold.engine.repository import Repository
from safehold.engine.restore import fill
from safehold.engine.store.memory import MemoryStore
from safehold.errors import IntegrityError, KeyMaterialError

VECTORS = Path(__file__).parent / "vectors" / "v1"
VALUES: dict[str, Any] = json.loads((VECTORS / "values.json").read_text())
KEY = RepositoryKey.parse(VALUES["values"]["keys"][0]["file"])
FILES = (path for path in VECTORS.joinpath("repository").rglob("*") if path.is_file())
WHOLE = {str(path.relative_to(VECTORS / "repository")): path.read_bytes() for path in sorted(FILES)}
SEALED = [name for name, data in WHOLE.items() if data.startswith(b"SAFEHOLD")]
SECOND = RepositoryKey.parse(VALUES["values"]["keys"][1]["file"]).recipient
NEEDED = ("points/", "index/", "keys/target/", "keys/namespace-3f1c/")
"""Objects that some restore reads from end to end, if they are for our recipient; `repo check` reads the others too."""

many = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])


class _Objects(rescue.Folder):
    """A copy of the bucket in memory, for the rescue program."""

    def __init__(self, objects: dict[str, bytes]) -> None:
        self.objects = objects

    def names(self, prefix: str) -> list[str]:
        """Those below a folder."""
        return sorted(name for name in self.objects if name.startswith(prefix))

    def read(self, name: str, offset: int = 0, length: int | None = None) -> bytes:
        """A slice."""
        data = self.objects[name][offset:]
        return data if length is None else data[:length]


def outcome(changed: dict[str, bytes], folder: Path) -> list[str]:
    """What engine and rescue program say when all points of the changed repository are restored; never wrong bytes."""
    objects = WHOLE | changed
    said = []
    for point in VALUES["points"]:
        for name, volume in point["volumes"].items():
            for restore in (restored_by_engine, restored_by_rescue):
                disk = folder / "disk"
                disk.unlink(missing_ok=True)
                try:
                    restore(objects, point, name, disk)
                except (IntegrityError, KeyMaterialError, rescue.RescueError) as problem:
                    said.append(str(problem))
                    left_behind = disk.exists()
                    assert not left_behind
                    continue
                assert hashlib.sha256(disk.read_bytes()).hexdigest() == volume["sha256"]
    return said


def findings(changed: dict[str, bytes]) -> list[str]:
    """What a check that reads everything finds in the changed repository."""
    store = MemoryStore()
    store.objects = WHOLE | changed
    found = []
    try:
        repository = Repository.open(store, KEY, create=False)
        found += [str(problem) for problem in check_texts(store, repository.keys)]
        for name in sorted({point["domain"] for point in VALUES["points"]}):
            checked = check(repository.domain(name, create=False), read_percent=100)
            found += checked.damages
    except (IntegrityError, KeyMaterialError) as problem:
        found.append(str(problem))
    return found


def restored_by_engine(objects: dict[str, bytes], point: dict[str, Any], volume: str, disk: Path) -> None:
    """As a worker restores."""
    store = MemoryStore()
    store.objects = objects
    domain = Repository.open(store, KEY, create=False).domain(point["domain"], create=False)
    manifest = domain.points.read(PointName.of_id(point["id"]))
    assert domain.points.read_machine(manifest) == point["machine"]
    fill(domain, manifest, volume, disk, stop=threading.Event(), progress=lambda _: None)


def restored_by_rescue(objects: dict[str, bytes], point: dict[str, Any], volume: str, disk: Path) -> None:
    """As a person in need restores."""
    domain = rescue.Domain(_Objects(objects), point["domain"].replace("/", "-"), KEY.secret)
    _, name = rescue.find_point([domain], point["id"])
    manifest = domain.document(name, 0)
    assert domain.document(name, 1) == point["machine"]
    rescue.restore(rescue.Chunks(domain, manifest), rescue.find_volume(manifest, volume), disk)


@cache
def sound(folder: Path) -> None:
    """What is not changed is restored."""
    assert outcome({}, folder) == []


@many
@given(data=st.data())
def test_a_flipped_bit_is_named_or_not_needed(tmp_path: Path, data: st.DataObject) -> None:
    """Wherever it is: a restore gives what was backed up, or says which object is damaged."""
    sound(tmp_path)
    name = data.draw(st.sampled_from(SEALED))
    changed = bytearray(WHOLE[name])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    said = outcome({name: bytes(changed)}, tmp_path)
    assert all(name in sentence for sentence in said), said
    if name.startswith(NEEDED) and not name.startswith("index/") and not name.endswith(SECOND):
        assert said


@many
@given(data=st.data())
def test_a_cut_object_is_named_or_not_needed(tmp_path: Path, data: st.DataObject) -> None:
    """Also where nothing is left of it."""
    name = data.draw(st.sampled_from(SEALED))
    length = data.draw(st.integers(0, len(WHOLE[name]) - 1))
    said = outcome({name: WHOLE[name][:length]}, tmp_path)
    assert all(name in sentence for sentence in said), said
    assert said or not name.startswith(NEEDED) or name.endswith(SECOND)


@many
@given(data=st.data())
def test_exchanged_objects_are_named(tmp_path: Path, data: st.DataObject) -> None:
    """No object passes for another, of its own kind or any other."""
    one, other = data.draw(st.lists(st.sampled_from(SEALED), min_size=2, max_size=2, unique=True))
    said = outcome({one: WHOLE[other], other: WHOLE[one]}, tmp_path)
    assert all(one in sentence or other in sentence for sentence in said), said


@many
@given(data=st.data())
def test_a_check_finds_every_flipped_bit(data: st.DataObject) -> None:
    """In every object that our key opens, at every byte, needed or not; and names the object."""
    name = data.draw(st.sampled_from([name for name in WHOLE if not name.endswith(SECOND)]))
    changed = bytearray(WHOLE[name])
    bit = data.draw(st.integers(0, len(changed) * 8 - 1))
    changed[bit // 8] ^= 1 << bit % 8
    assert any(name in sentence for sentence in findings({name: bytes(changed)}))


def test_a_check_finds_nothing_where_nothing_is_wrong() -> None:
    """So that what it finds means something."""
    assert findings({}) == []


@pytest.mark.parametrize("name", SEALED)
def test_an_unknown_version_is_no_damage(tmp_path: Path, name: str) -> None:
    """Whatever object tells it first: a reader of this version asks for another, or needs nothing of the object."""
    changed = bytearray(WHOLE[name])
    changed[8:10] = b"\0\2"
    for sentence in outcome({name: bytes(changed)}, tmp_path):
        assert name in sentence
        assert "version" in sentence
