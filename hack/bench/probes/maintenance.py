"""Folds a repository that nobody writes to, so without days of grace: ENDPOINT BUCKET PREFIX KEY_FILE."""

import sys
from datetime import timedelta
from pathlib import Path

from safehold.engine.keys.keyfile import read_key_file
from safehold.engine.maintenance.compaction import compact
from safehold.engine.maintenance.prune import prune
from safehold.engine.repository import Repository
from safehold.engine.store.client import S3Place
from safehold.engine.store.s3 import S3Store

_AT_ONCE = timedelta(0)


def main(endpoint_url: str, bucket: str, prefix: str, key_file: str) -> None:
    """Fold the index, so that of each chunk one copy counts; rewrite what lost too much; sweep what that replaced."""
    store = S3Store(S3Place(bucket=bucket, prefix=prefix, endpoint_url=endpoint_url))
    domain = Repository.open(store, read_key_file(Path(key_file)), create=False).domain("target", create=False)
    for _ in range(2):  # the first fold decides which copies count, the second round rewrites packs by that
        compact(domain, grace=_AT_ONCE)
        prune(domain, grace=_AT_ONCE)
    prune(domain, grace=_AT_ONCE)


if __name__ == "__main__":
    main(*sys.argv[1:])
