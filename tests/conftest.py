"""What tests of several parts share."""

from collections.abc import Iterator

import pytest

from sandbox.objectstore.server import ObjectStore, running_object_store


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server, started once; tests make buckets of their own in it."""
    with running_object_store(tmp_path_factory.mktemp("objectstore")) as store:
        yield store
