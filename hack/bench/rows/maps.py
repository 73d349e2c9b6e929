"""The map of a full 1 TiB disk of which 1 % changes."""

import json
import sys

from bench.measure import Command, measure
from bench.results import Result
from bench.rows.context import Context

ROWS = ["map-1TiB"]


def measure_maps(context: Context) -> None:
    """Three maps are built: the first, one after changes in runs of 64 MiB, one after changes scattered evenly."""
    command = Command(arguments=[sys.executable, "-m", "bench.probes.map_writes"])
    usage = measure(command, context.server.pid)
    context.note(Result(row=ROWS[0], program="safehold", usage=usage, data_bytes=0, facts=json.loads(usage.output)))
