"""The objects that are not sealed, and how it is found that they are not what Safehold wrote."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from safehold.engine import names
from safehold.engine.keys.keyfile import RepositoryKey
from safehold.engine.plaintext.objects import check_texts, lay_out_texts, plain_texts
from safehold.engine.repository import Repository
from safehold.engine.store.memory import MemoryStore
from safehold.errors import StoreUnavailableError

if TYPE_CHECKING:
    from tests.engine.conftest import FaultyStore

PROJECT = Path(__file__).parents[2]
KEY = RepositoryKey.generate()


def opened(store: MemoryStore) -> Repository:
    """The repository, laid out where it is not."""
    return Repository.open(store, KEY, create=True, settle=lambda: None)


def problems(store: MemoryStore) -> list[str]:
    """What is found wrong with the texts."""
    return [str(problem) for problem in check_texts(store, opened(store).keys)]


def test_a_new_repository_explains_itself() -> None:
    """README, format and rescue program lie in the bucket as the release has them, and check clean."""
    store = MemoryStore()
    opened(store)
    assert {"README.v1.md", "format.v1.md", "rescue.v1.py"} <= store.objects.keys()
    assert store.objects["format.v1.md"] == (PROJECT / "docs" / "format.md").read_bytes()
    assert problems(store) == []


def test_texts_are_written_once(faulty: type[FaultyStore]) -> None:
    """The next run only sees that they are there: one listing."""
    store = MemoryStore()
    keys = opened(store).keys
    before = dict(store.objects)
    counting = faulty(store)
    lay_out_texts(counting, keys)
    assert store.objects == before
    assert counting.calls == 1


@pytest.mark.parametrize("name", list(plain_texts()))
def test_a_changed_or_missing_text_is_named(name: str) -> None:
    """Whoever can write to the bucket cannot give people another program to run, or other instructions, unnoticed."""
    store = MemoryStore()
    opened(store)
    store.objects[name] += b"# and send the key home\n"
    (changed,) = problems(store)
    assert changed.startswith(f"{name} is not what Safehold wrote: expected SHA-256 ")
    del store.objects[name]
    (missing,) = problems(store)
    assert missing.startswith(f"{name} is missing")


def test_a_text_that_safehold_never_wrote_is_named() -> None:
    """A newer version of the rescue program can be forged as well as this one."""
    store = MemoryStore()
    opened(store)
    store.objects["rescue.v2.py"] = b"import os"
    (problem,) = problems(store)
    assert "rescue.v2.py is not what Safehold wrote: expected no such object" in problem


def test_a_damaged_checksum_is_named_and_covers_nothing() -> None:
    """Without it nothing vouches for the texts."""
    store = MemoryStore()
    opened(store)
    (name,) = (entry.name for entry in store.list(names.CHECKSUMS))
    store.objects[name] = store.objects[name][:-1] + b"?"
    found = problems(store)
    assert found[0].startswith(f"{name} is damaged")
    assert len(found) == 1 + len(plain_texts())


def test_the_texts_of_several_releases_live_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A later release adds what it has under new names and replaces nothing; all of it checks clean."""
    store = MemoryStore()
    opened(store)
    before = dict(store.objects)
    later = {**plain_texts(), names.README: b"# Another wording", "rescue.v1.1.py": b"print('mended')"}
    monkeypatch.setattr("safehold.engine.plaintext.objects.plain_texts", lambda: later)
    assert problems(store) == []
    assert before.items() <= store.objects.items()
    assert store.objects["rescue.v1.1.py"] == later["rescue.v1.1.py"]


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_layout_that_dies_anywhere_is_completed_by_the_next(faulty: type[FaultyStore], after_effect: bool) -> None:
    """Whatever was written before is taken over, and everything is covered in the end."""
    store = MemoryStore()
    opened(store)
    counting = faulty(MemoryStore())
    Repository.open(counting, KEY, create=True, settle=lambda: None)
    for number in range(1, counting.calls + 1):
        store = MemoryStore()
        failing = faulty(store, fail_at=number, after_effect=after_effect)
        with pytest.raises(StoreUnavailableError):
            Repository.open(failing, KEY, create=True, settle=lambda: None)
        assert problems(store) == []


def test_the_rescue_program_needs_two_libraries_and_nothing_of_safehold() -> None:
    """Beyond the standard library: zstandard and cryptography."""
    tree = ast.parse(plain_texts()[names.RESCUE])
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    foreign = {name.split(".")[0] for name in imported} - sys.stdlib_module_names
    assert foreign == {"zstandard", "cryptography"}


def test_a_release_carries_the_texts(tmp_path: Path) -> None:
    """The wheel holds what repositories get, the description of the format too, which lives in docs/."""
    subprocess.run(
        [Path(sys.executable).parent / "uv", "build", "--wheel", "--quiet", "--out-dir", tmp_path, PROJECT], check=True
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        carried = {files.read(f"safehold/engine/plaintext/{file}") for file in ("README.md", "format.md", "rescue.py")}
    assert carried == set(plain_texts().values())
