"""Makes a repository as large as years of backups leave one: ENDPOINT BUCKET PREFIX KEY_FILE."""

import sys
from pathlib import Path

from bench.generated_index import GeneratedIndex
from safehold.engine.geometry import FORMAT_1
from safehold.engine.keys.keyfile import read_key_file
from safehold.engine.repository import Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store

_FOLDED = 48_000_000
_RUNS = 31
"""Runs after the last fold; with them, the index has 50 million chunks."""


def main(endpoint_url: str, bucket: str, prefix: str, key_file: str) -> None:
    """One fold by maintenance, and runs since."""
    store = S3Store(S3Place(bucket=bucket, prefix=prefix, endpoint_url=endpoint_url))
    domain = Repository.open(store, read_key_file(Path(key_file)), create=True).domain("target", create=True)
    generated = GeneratedIndex(domain)
    generated.write_fold(_FOLDED)
    for _ in range(_RUNS):
        generated.write_run(FORMAT_1.segment_entries)


if __name__ == "__main__":
    main(*sys.argv[1:])
