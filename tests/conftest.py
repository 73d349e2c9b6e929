"""What tests of several parts share."""

from collections.abc import Iterator

import pytest
from hypothesis import settings

from sandbox.objectstore.server import ObjectStore, running_object_store

# Examples are not timed: a busy machine is no failure.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def object_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A real S3 server, started once; tests make buckets of their own in it."""
    with running_object_store(tmp_path_factory.mktemp("objectstore")) as store:
        yield store
