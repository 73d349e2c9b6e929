"""The plain-text objects and their sealed checksums (docs/format.md, section 10)."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from importlib import resources

from safehold.engine import names
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import ObjectType
from safehold.engine.points.documents import read_documents, seal_documents
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, ObjectMissingError

_FILES = {names.README: "README.md", names.FORMAT: "format.md", names.RESCUE: "rescue.py"}


def plain_texts() -> dict[str, bytes]:
    """The plain-text objects of this release, by name."""
    folder = resources.files("safehold.engine.plaintext")
    return {name: folder.joinpath(file).read_bytes() for name, file in _FILES.items()}


def lay_out_texts(store: ObjectStore, keys: KeyRing) -> None:
    """Write those of this release's texts that the repository lacks, then what they say, sealed.

    One LIST where that was done before. A text that is there is never replaced, whatever it says: `check_texts` judges.
    """
    texts = plain_texts()
    folder = names.checksums_of(texts)
    if next(store.list(folder, limit=1), None) is not None:
        return
    ours = {}
    for name, content in texts.items():
        if next(store.list(name, limit=1), None) is None:
            store.put(name, content)
        elif store.get(name) != content:
            continue
        ours[name] = _digest(content)
    name = names.new_checksums(folder)
    store.put(name, seal_documents(keys, ObjectType.CHECKSUMS, name, [json.dumps(ours).encode()]))


def check_texts(store: ObjectStore, keys: KeyRing) -> Iterator[IntegrityError]:
    """What is wrong with the plain-text objects: missing, changed, or not Safehold's. `keys`: the repository's own."""
    sealed: dict[str, set[str]] = defaultdict(set)
    for entry in store.list(names.CHECKSUMS):
        try:
            (document,) = read_documents(store, keys, ObjectType.CHECKSUMS, entry.name)
        except IntegrityError as problem:
            yield problem
            continue
        for name, digest in json.loads(document).items():
            sealed[name].add(digest)
    present = {entry.name for prefix in names.PLAIN_TEXTS for entry in store.list(prefix)}
    for name in sorted(present | sealed.keys()):
        verdict = _judge(store, name, sealed[name])
        if verdict:
            yield verdict


def _judge(store: ObjectStore, name: str, sealed: set[str]) -> IntegrityError | None:
    try:
        found = _digest(store.get(name))
    except ObjectMissingError:
        return IntegrityError(f"{name} is missing", remedy="take it from a Safehold release")
    if found in sealed:
        return None
    return IntegrityError(
        f"{name} is not what Safehold wrote",
        expected=" or ".join(f"SHA-256 {digest}" for digest in sorted(sealed)) or "no such object",
        found=f"SHA-256 {found}",
        remedy="do not run or follow it, find out who can write to this bucket, and take it from a Safehold release",
    )


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
