"""The test vectors: what every reader of every format version must derive and give back."""

import hashlib
import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import zstandard

from safehold.engine import names
from safehold.engine.keys.keyfile import RepositoryKey, derive
from safehold.engine.keys.rings import KeySet
from safehold.engine.keys.sealing import HEADER_BYTES, Header, ObjectType, SealedObject
from safehold.engine.names import PointName
from safehold.engine.packing.chunks import chunk_id
from safehold.engine.plaintext import rescue
from safehold.engine.plaintext.objects import check_texts
from safehold.engine.repository import Repository
from safehold.engine.restore import fill
from safehold.engine.store.memory import MemoryStore

VECTORS = Path(__file__).parent / "vectors"
VERSIONS = sorted(folder.name for folder in VECTORS.iterdir())
GENERATOR = Path(__file__).parents[2] / "hack" / "gen_vectors.py"
KEYS = [0, 1]


def values_of(version: str) -> dict[str, Any]:
    """The values of a format version."""
    values: dict[str, Any] = json.loads((VECTORS / version / "values.json").read_text())
    return values


V1 = values_of("v1")["values"]
READS = [
    pytest.param(version, point, key, id=f"{version}-{point['id']}-{key}")
    for version in VERSIONS
    for point in values_of(version)["points"]
    for key in KEYS
    if key == 0 or point["domain"] == "target"  # the second recipient was added to that domain only
]


def files_below(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their names within it."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(version: str, key: int) -> Repository:
    """The repository of the vectors, by one of its two keys."""
    store = MemoryStore()
    store.objects = files_below(VECTORS / version / "repository")
    return Repository.open(store, RepositoryKey.parse(values_of(version)["values"]["keys"][key]["file"]), create=False)


@pytest.mark.parametrize(("version", "point", "key"), READS)
def test_the_engine_reads_the_repository(version: str, point: dict[str, Any], key: int, tmp_path: Path) -> None:
    """Every disk of every point, through folds, two data keys and two recipients."""
    domain = opened(version, key).domain(point["domain"], create=False)
    manifest = domain.points.read(PointName.of_id(point["id"]))
    assert domain.points.read_machine(manifest) == point["machine"]
    for name, volume in point["volumes"].items():
        fill(domain, manifest, name, tmp_path / name, stop=threading.Event(), progress=lambda _: None)
        content = (tmp_path / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (volume["size"], volume["sha256"])


@pytest.mark.parametrize(("version", "point", "key"), READS)
def test_an_independent_reader_reads_the_repository(
    version: str, point: dict[str, Any], key: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The rescue program, which shares no code with the engine, gets the same disks and objects."""
    key_file = tmp_path / "key"
    key_file.write_text(values_of(version)["values"]["keys"][key]["file"])
    place = ["--repository", str(VECTORS / version / "repository"), "--key-file", str(key_file)]
    assert rescue.main([*place, "machine", point["id"]]) == 0
    assert json.loads(capsys.readouterr().out) == point["machine"]
    for name, volume in point["volumes"].items():
        assert rescue.main([*place, "restore", point["id"], str(tmp_path / name), "--volume", name]) == 0
        content = (tmp_path / name).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (volume["size"], volume["sha256"])


@pytest.mark.parametrize("version", VERSIONS)
def test_identity_and_texts_are_as_they_were(version: str) -> None:
    """Both keys open the same repository, and its plain-text object is vouched for."""
    repositories = [opened(version, key) for key in KEYS]
    assert {repository.id for repository in repositories} == {values_of(version)["repository"]}
    assert [list(check_texts(repository.store, repository.keys)) for repository in repositories] == [[], []]


def test_the_vectors_are_remade_bit_for_bit(tmp_path: Path) -> None:
    """Whoever changes a byte of the format sees it here."""
    made_with, ours = values_of("v1")["libzstd"], ".".join(map(str, zstandard.ZSTD_VERSION))
    if made_with != ours:
        pytest.skip(f"the vectors were made with libzstd {made_with}; this is {ours}, which may compress otherwise")
    subprocess.run([sys.executable, GENERATOR, tmp_path / "v1"], check=True)
    assert files_below(tmp_path / "v1") == files_below(VECTORS / "v1")


@pytest.mark.parametrize("key", V1["keys"], ids=lambda key: key["recipient"])
def test_keys_have_these_texts_and_recipients(key: dict[str, str]) -> None:
    """Key file and recipient, from the 32 bytes, and by the independent reader."""
    made = RepositoryKey(bytes.fromhex(key["secret"]))
    assert (made.text(), made.recipient) == (key["file"], key["recipient"])
    assert rescue.derive(made.secret, b"safehold/1/recipient", length=8).hex() == key["recipient"]


def test_derived_keys_have_these_values() -> None:
    """The id key of map nodes, and the key of an object."""
    node, made = V1["node_key"], V1["object_key"]
    key_set = KeySet(generation=0, id=bytes(16), data_key=bytes(32), id_key=bytes.fromhex(node["id_key"]))
    assert key_set.node_key.hex() == node["key"]
    data_key, salt = bytes.fromhex(made["data_key"]), bytes.fromhex(made["salt"])
    info = b"safehold/1/object/" + made["type"].to_bytes(2)
    assert derive(data_key, salt=salt, info=info).hex() == made["key"]


def test_a_chunk_has_this_id() -> None:
    """Keyed BLAKE3."""
    made = V1["chunk_id"]
    assert chunk_id(bytes.fromhex(made["content"]), bytes.fromhex(made["id_key"])).hex() == made["id"]


def test_a_sealed_object_opens_to_these_frames() -> None:
    """By the engine and by the independent reader, bound to its name."""
    made, data_key = V1["sealed_object"], bytes.fromhex(V1["object_key"]["data_key"])
    data = bytes.fromhex(made["object"])
    ours = Header.parse(made["name"], data, ObjectType.POINT)
    theirs = rescue.Header.parse(made["name"], data, rescue.POINT)
    middle = HEADER_BYTES + ours.first_frame_bytes
    for reader in (SealedObject(made["name"], ours, data_key), rescue.Sealed(made["name"], theirs, data_key)):
        open_frame = reader.open_frame if isinstance(reader, SealedObject) else reader.open
        frames = [open_frame(0, data[HEADER_BYTES:middle]), open_frame(1, data[middle:])]
        assert [frame.hex() for frame in frames] == made["frames"]


def test_names_have_these_forms() -> None:
    """Owners, runs, points and domains."""
    assert names.owner_tag(*V1["owner"]["identity"]) == V1["owner"]["tag"]
    assert names.run_tag(V1["run"]["id"]) == V1["run"]["tag"]
    assert PointName.of_id(V1["point"]["id"]).manifest("target") == V1["point"]["name"]
    assert PointName.of_object(V1["point"]["name"]).id == V1["point"]["id"]
    assert names.scope_of_domain(V1["domain"]["called"]) == V1["domain"]["folder"]
