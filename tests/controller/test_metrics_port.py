"""The port at which the controller serves its metrics."""

import socket

import pytest
from prometheus_client import CollectorRegistry

from safehold.controller.app import _metrics
from safehold.errors import UsageError


def test_taken_port_is_named() -> None:
    """A port that another program has ends the controller with a sentence that names it and the setting."""
    with socket.create_server(("0.0.0.0", 0)) as other:  # noqa: S104 - where the controller serves
        port = other.getsockname()[1]
        with (
            pytest.raises(UsageError, match=rf"port {port}: .*SAFEHOLD_METRICS_PORT"),
            _metrics(port, CollectorRegistry()),
        ):
            pass
