"""What tests of several parts share."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.objectstore.server import ObjectStore, running_object_store


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server, started once; tests make buckets of their own in it."""
    with running_object_store(tmp_path_factory.mktemp("objectstore")) as store:
        yield store


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together what shares a costly fixture when tests run side by side (`pytest -n 2 --dist loadgroup`).

    The two sandboxes of tests/e2e are a group each, every other file is one of its own. First, since xdist reads it.
    """
    for item in items:
        group = str(item.path)
        if item.path.parent == Path(__file__).parent / "e2e":
            group = "guests" if "guests" in getattr(item, "fixturenames", ()) else "world"
        item.add_marker(pytest.mark.xdist_group(group))
