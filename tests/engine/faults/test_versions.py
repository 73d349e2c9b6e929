"""Objects of a format that this release does not know."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.keys.sealing import MAGIC, VERSION
from safehold.errors import UnknownFormatError
from safehold.reasons import Reason

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

CHUNK = 512
Noise = Callable[[int], bytes]
_MARK = MAGIC + struct.pack(">H", VERSION)


def with_version(body: bytes, version: int) -> bytes:
    """The object as another release would have marked it; index segments end with their header once more."""
    return body.replace(_MARK, MAGIC + struct.pack(">H", version))


@pytest.mark.parametrize("version", [0, VERSION + 1, 65535])
@pytest.mark.parametrize("folder", ["keys/repository/", "keys/target/", "points/", "index/"])
def test_an_object_of_another_version_is_refused_and_named(
    laboratory: Laboratory, noise: Noise, folder: str, version: int
) -> None:
    """Before anything else is looked at: what, which version was expected, which was found, and what to do."""
    manifest = laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    (name,) = laboratory.objects(folder)
    laboratory.store.objects[name] = with_version(laboratory.store.objects[name], version)
    expected = f"{name} has an unknown format version: expected {VERSION}, found {version}; use the Safehold release"
    with pytest.raises(UnknownFormatError, match=expected) as caught:
        laboratory.restored(laboratory.domain(create=False).points.latest(laboratory.owner()) or manifest)
    assert caught.value.reason is Reason.UNKNOWN_FORMAT
    assert not caught.value.retryable
    assert not (laboratory.folder / "restored").exists()


@pytest.mark.parametrize("folder", ["keys/repository/", "keys/target/", "points/"])
def test_nothing_is_written_beside_objects_of_another_version(
    laboratory: Laboratory, noise: Noise, folder: str
) -> None:
    """A newer release has been here: an older one backs up nothing into its repository."""
    laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    (name,) = laboratory.objects(folder)
    laboratory.store.objects[name] = with_version(laboratory.store.objects[name], VERSION + 1)
    before = dict(laboratory.store.objects)
    with pytest.raises(UnknownFormatError):
        laboratory.back_up(laboratory.disk(noise(40 * CHUNK)))
    assert laboratory.store.objects == before


def test_every_sealed_object_tells_its_version(laboratory: Laboratory, noise: Noise) -> None:
    """The first ten bytes of all that a run leaves say what it is; with others, it is refused or not needed."""
    content = noise(40 * CHUNK)
    laboratory.back_up(laboratory.disk(noise(10 * CHUNK)))
    manifest = laboratory.back_up(laboratory.disk(content))
    objects = dict(laboratory.store.objects)
    sealed = [name for name in objects if name.partition("/")[0] in ("keys", "packs", "index", "points", "checksums")]
    assert len(sealed) > 6
    refused: list[str] = []
    for name in sealed:
        assert objects[name].startswith(_MARK)
        laboratory.store.objects = {**objects, name: with_version(objects[name], VERSION + 1)}
        try:
            assert laboratory.restored(manifest) == content
        except UnknownFormatError as problem:
            refused.append(problem.what)
    assert len(refused) >= 3  # the keys of repository and domain, and a segment
    assert all(any(name in what for name in sealed) for what in refused)
