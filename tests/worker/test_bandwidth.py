"""A worker keeps to the bandwidth that its run allows."""

from pathlib import Path

import pytest

from safehold.engine.store.limits import LimitedStore
from safehold.engine.store.s3 import S3Store
from safehold.run import RepositoryPlace
from safehold.worker.folder import RunFolder


@pytest.mark.parametrize(("limit", "kind"), [(None, S3Store), (1 << 20, LimitedStore)])
def test_a_limit_is_between_the_worker_and_the_store(tmp_path: Path, limit: int | None, kind: type) -> None:
    """Without a limit there is nothing in between."""
    place = RepositoryPlace(
        bucket="backups", endpoint_url="http://127.0.0.1:9", region="x", bandwidth_bytes_per_second=limit
    )
    assert isinstance(RunFolder(tmp_path).store(place), kind)
