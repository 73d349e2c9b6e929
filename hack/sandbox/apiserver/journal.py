"""Objects on disk: an append-only file of JSON lines, so that a killed server comes back with the same cluster.

A line is {"revision", "key", "document"}; a document of null is a deletion. The last line may be cut by a kill and is
then dropped. The file is rewritten with the living objects only when the server starts.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.store import Key, Store, StoreEvent


class FileJournal:
    """The journal of one state directory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def restore(self, store: Store) -> None:
        """Load the store from the file, compact the file, and take records from now on."""
        documents: dict[Key, JsonObject] = {}
        revision = 1
        for line in self._lines():
            key = Key(*line["key"])
            revision = line["revision"]
            if line["document"] is None:
                documents.pop(key, None)
            else:
                documents[key] = line["document"]
        store.load(list(documents.items()), revision)
        self._rewrite(documents, revision)
        self._file = self._path.open("ab", buffering=0)

    def record(self, event: StoreEvent) -> None:
        """Append one change. No fsync: the file survives the process, not the machine."""
        if self._file is None:
            raise RuntimeError("the journal takes records only after restore()")
        text = b"null" if event.type == "DELETED" else event.entry.text()
        self._file.write(_line(event.entry.revision, event.entry.key, text))

    def close(self) -> None:
        """Take no more records."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _lines(self) -> Iterator[JsonObject]:
        if not self._path.exists():
            return
        for text in self._path.read_bytes().split(b"\n"):
            try:
                yield json.loads(text)
            except ValueError:
                return

    def _rewrite(self, documents: dict[Key, JsonObject], revision: int) -> None:
        compact = self._path.with_suffix(".new")
        # Secrets are among the objects.
        compact.touch(mode=0o600)
        with compact.open("wb") as file:
            for key, document in documents.items():
                file.write(_line(revision, key, json.dumps(document).encode()))
        compact.replace(self._path)


def _line(revision: int, key: Key, document: bytes) -> bytes:
    return b'{"revision":%d,"key":%s,"document":%s}\n' % (revision, json.dumps(key).encode(), document)
