"""A running API server for the tests of this folder, and kubectl against it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.apiserver import EmbeddedApiServer, ServerSettings, running_api_server


@pytest.fixture(scope="session")
def api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedApiServer]:
    """One server for all tests; they keep apart by namespaces and names. Namespaces end without the usual delay."""
    settings = ServerSettings(namespace_delay_seconds=0.1)
    with running_api_server(Path(tmp_path_factory.mktemp("apiserver")), settings=settings) as server:
        yield server
