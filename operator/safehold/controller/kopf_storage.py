"""Where Kopf keeps what it knows of an object: nowhere. No annotation of Kopf's is on anybody's objects.

Kopf remembers which handlers have run and what an object was like then. Ours do not need it: an event means "look at
this object", and a handler that is called again for a deletion only says again that it waits.
"""

from typing import Any

import kopf


class NoProgress(kopf.ProgressStorage):
    """Every call of a handler is its first."""

    def fetch(self, **_: Any) -> None:
        """Nothing is known of earlier calls."""

    def store(self, **_: Any) -> None:
        """Nothing is kept."""

    def purge(self, **_: Any) -> None:
        """Nothing was kept."""

    def touch(self, **_: Any) -> None:
        """Kopf would change the object to be called again; the queues look again by themselves."""

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        """Nothing of Kopf's is in the object."""
        return essence


class NoDiffBase(kopf.DiffBaseStorage):
    """Every object is as it was when it was handled: no handler of ours is about differences."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        """Nothing is compared. Kopf would copy every object twice with every event to do so."""
        return kopf.BodyEssence({})

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        """The same nothing, so that no object ever looks new or changed."""
        return self.build()

    def store(self, **_: Any) -> None:
        """Nothing is kept."""
