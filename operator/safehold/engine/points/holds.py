"""Holds: what keeps restore points from being forgotten until it is taken off (docs/format.md, section 8)."""

from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from safehold.engine import names
from safehold.engine.keys.rings import KeyRing
from safehold.engine.keys.sealing import ObjectType
from safehold.engine.points.documents import read_documents, seal_documents
from safehold.engine.store.base import ObjectStore
from safehold.errors import IntegrityError, ObjectMissingError, PointError
from safehold.reasons import Reason


class Hold(BaseModel):
    """One hold of one point. Each is an object of its own, so that two people's holds do not disturb each other."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    format: Literal[1] = 1
    point: str
    reason: str
    since: datetime


class Holds:
    """The holds of one key domain."""

    def __init__(self, store: ObjectStore, keys: KeyRing) -> None:
        self._store = store
        self._keys = keys

    def points(self) -> frozenset[str]:
        """The ids of all points that are held: one LIST, so that a damaged hold holds all the same."""
        folder = names.holds(self._keys.scope)
        return frozenset(names.point_of_hold(entry.name) for entry in self._store.list(folder))

    def of(self, point: str) -> list[Hold]:
        """The holds of a point, the oldest first."""
        return sorted((hold for hold in map(self._read, self._names(point)) if hold), key=lambda hold: hold.since)

    def place(self, point: str, reason: str, now: datetime) -> Hold:
        """Hold a point; who holds it twice has to release it once."""
        hold = Hold(point=point, reason=reason, since=now)
        name = names.new_hold(self._keys.scope, point)
        self._store.put(name, seal_documents(self._keys, ObjectType.HOLD, name, [hold.model_dump_json().encode()]))
        return hold

    def release(self, point: str) -> int:
        """Take all holds off a point; answers how many there were."""
        held = list(self._names(point))
        for name in held:
            self._store.delete(name)
        return len(held)

    def refuse(self, point: str) -> None:
        """PointError (Held) where the point is held."""
        if next(self._names(point), None) is None:
            return
        reasons = "; ".join(hold.reason for hold in self.of(point))
        raise PointError(
            f"The restore point {point} is held in the repository ({reasons})",
            remedy=f"it can be forgotten after 'safehold release {point} --repository …'",
            reason=Reason.HELD,
        )

    def _names(self, point: str) -> Iterator[str]:
        return (entry.name for entry in self._store.list(names.holds_of(self._keys.scope, point)))

    def _read(self, name: str) -> Hold | None:
        try:
            (document,) = read_documents(self._store, self._keys, ObjectType.HOLD, name)
        except ObjectMissingError:  # released meanwhile
            return None
        try:
            return Hold.model_validate_json(document)
        except ValidationError as problem:
            raise IntegrityError(f"The hold {name} is malformed", found=problem.errors(include_url=False)) from problem
