"""Condemned lists: what the collector will delete, so that no writer builds on it (docs/format.md, section 9)."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from safehold.engine import names
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import ObjectType
from safehold.engine.points.documents import read_documents, seal_documents
from safehold.engine.store.base import ObjectStore
from safehold.errors import ExpiredRunError, IntegrityError, ObjectMissingError

MAX_RUN_TIME = timedelta(hours=48)
"""A writer that is older does not commit: the collector relies on it."""
SKEW = timedelta(hours=1)
"""For the clocks of a store's servers, and for a request that was under way when its run became too old."""
GRACE = MAX_RUN_TIME + SKEW
"""How long something is condemned before it may be deleted, and how old must be what no run can still be writing."""


class CondemnedList(BaseModel):
    """The content of a condemned list. Nothing is ever taken off a list: it goes when all that it names is gone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    packs: list[str]
    segments: list[str]
    marked: list[str]
    """The newest point of each owner when live chunks were marked: these points need nothing that the list names."""


@dataclass(frozen=True, slots=True)
class Sentence:
    """One list as it is in the store."""

    name: str
    since: datetime
    packs: frozenset[bytes] = field(repr=False)
    segments: frozenset[str] = field(repr=False)
    marked: frozenset[str] = field(repr=False)

    def spares(self, point: str, heeded: Iterable[str]) -> bool:
        """Whether a point needs nothing of the list: its writer heeded it, or the collector saw the point."""
        return self.name in heeded or point in self.marked


@dataclass(frozen=True, slots=True)
class Condemned:
    """All lists of a key domain at one moment."""

    sentences: tuple[Sentence, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the lists."""
        return [sentence.name for sentence in self.sentences]

    @property
    def packs(self) -> frozenset[bytes]:
        """The ids of all packs on them."""
        return frozenset().union(*(sentence.packs for sentence in self.sentences))

    @property
    def segments(self) -> frozenset[str]:
        """The names of all segments on them."""
        return frozenset().union(*(sentence.segments for sentence in self.sentences))

    def unless(self, known: "Condemned") -> "Condemned":
        """Only the lists that `known` does not have."""
        earlier = set(known.names)
        return Condemned(tuple(sentence for sentence in self.sentences if sentence.name not in earlier))

    def spare(self, point: str, heeded: Iterable[str]) -> bool:
        """Whether a point needs nothing of any list."""
        seen = set(heeded)
        return all(sentence.spares(point, seen) for sentence in self.sentences)


def read_condemned(store: ObjectStore, keys: KeyRing, known: Condemned | None = None) -> Condemned:
    """The lists that are in the store now: one LIST, and one GET for each that `known` does not have already."""
    earlier = {sentence.name: sentence for sentence in known.sentences} if known else {}
    sentences = []
    for entry in store.list(names.condemned(keys.scope)):
        sentence = earlier.get(entry.name) or _read(store, keys, entry.name, entry.modified)
        if sentence is not None:
            sentences.append(sentence)
    return Condemned(tuple(sentences))


def condemn(store: ObjectStore, keys: KeyRing, condemned: CondemnedList) -> str:
    """Publish a list; returns its name. From now on writers build on nothing that it names."""
    name = names.new_condemned(keys.scope, store.time())
    store.put(name, seal_documents(keys, ObjectType.CONDEMNED, name, [condemned.model_dump_json().encode()]))
    return name


def refuse_expired(started: datetime, now: datetime) -> None:
    """ExpiredRunError if a run that began at `started` may no longer write what others would build on."""
    if now - started >= MAX_RUN_TIME:
        raise ExpiredRunError(
            "The run took too long: what it builds on may have been collected meanwhile",
            expected=f"less than {MAX_RUN_TIME // timedelta(hours=1)} hours",
            found=f"{(now - started) // timedelta(hours=1)} hours",
            remedy="run it again; what it has uploaded is reused",
        )


def _read(store: ObjectStore, keys: KeyRing, name: str, since: datetime) -> Sentence | None:
    try:
        document = read_documents(store, keys, ObjectType.CONDEMNED, name)[0]
    except ObjectMissingError:  # carried out since it was listed, so no segment names anything of it any more
        return None
    try:
        found = CondemnedList.model_validate_json(document)
        packs = frozenset(bytes.fromhex(pack) for pack in found.packs)
    except (ValidationError, ValueError) as problem:
        raise IntegrityError(f"The condemned list {name} is malformed", found=type(problem).__name__) from problem
    return Sentence(name, since, packs, frozenset(found.segments), frozenset(found.marked))
