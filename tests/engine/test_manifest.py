"""Manifests as other releases may write them, and as nobody may."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from safehold.engine.keys.sealing import ObjectType
from safehold.engine.names import PointName
from safehold.engine.points.documents import seal_documents
from safehold.errors import IntegrityError

if TYPE_CHECKING:
    from tests.engine.conftest import Laboratory

Noise = Callable[[int], bytes]


def rewritten(laboratory: Laboratory, content: bytes, **fields: object) -> PointName:
    """A point whose manifest has other fields, sealed as well as any."""
    manifest = laboratory.back_up(laboratory.disk(content))
    name = PointName.of_id(manifest.point)
    domain = laboratory.domain()
    documents = [json.dumps(json.loads(manifest.model_dump_json()) | fields).encode(), b"[]"]
    sealed = seal_documents(domain.keys, ObjectType.POINT, name.manifest(domain.keys.scope), documents)
    laboratory.store.put(name.manifest(domain.keys.scope), sealed)
    return name


def test_fields_of_later_releases_are_passed_over(laboratory: Laboratory, noise: Noise) -> None:
    """A release that says more in its manifests does not lock out one that is rolled back to."""
    content = noise(3000)
    name = rewritten(laboratory, content, weather="fair", volumes_hash={"of": "later"})
    manifest = laboratory.domain().points.read(name)
    assert manifest.point == name.id
    assert laboratory.restored(manifest) == content


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"format": 2}, "malformed"),
        ({"volumes": "none"}, "malformed"),
        ({"domain": "namespace/other"}, "is of another point"),
        ({"point": "0123456789abcdef-000001-0123456789abcdef"}, "is of another point"),
    ],
)
def test_what_no_release_writes_is_refused(
    laboratory: Laboratory, noise: Noise, fields: dict[str, object], said: str
) -> None:
    """The object is named, and what was wrong with it."""
    name = rewritten(laboratory, noise(3000), **fields)
    with pytest.raises(IntegrityError, match=f"{name.manifest('target')} is .*") as caught:
        laboratory.domain().points.read(name)
    assert said in str(caught.value)
