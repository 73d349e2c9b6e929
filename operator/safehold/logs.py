"""Logging of both programs: a JSON object per line on stderr. Secrets never reach a log call: nothing is redacted."""

import logging
import sys

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

_RENAMED = {"asctime": "time", "levelname": "level", "name": "logger"}
_NOT_TOLD = (*RESERVED_ATTRS, "settings", "k8s_skip")
"""Beside the usual attributes of records, what Kopf attaches for itself; its `k8s_ref`, the object, is told."""


def configure(level: str, **bound: str) -> None:
    """Send all logging to stderr as JSON; `bound`, such as the run's id, is in every line. Replaces other handlers."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        JsonFormatter(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            datefmt="%Y-%m-%dT%H:%M:%S%z",
            rename_fields=_RENAMED,
            static_fields=bound,
            reserved_attrs=_NOT_TOLD,
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # Below warnings, boto's libraries log requests with their headers.
    for noisy in ("botocore", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
