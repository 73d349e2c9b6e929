"""Places that are given in the order of arrival."""

from collections.abc import Callable
from dataclasses import dataclass, field

from safehold.controller.queue import Key


@dataclass(slots=True)
class RunSlots:
    """So many at once; who waits is called in order of arrival."""

    limit: int
    call: Callable[[Key], None]
    """Looks at a waiting run's object again."""
    _taken: set[Key] = field(default_factory=set)
    _waiting: dict[Key, None] = field(default_factory=dict)
    """A dict for its order."""

    def take(self, key: Key, *, active: bool = False) -> bool:
        """Ask for a slot; one that has it keeps it. A run that is `active` already gets one above the limit."""
        if key in self._taken:
            return True
        free = self.limit - len(self._taken)
        ahead = list(self._waiting).index(key) if key in self._waiting else len(self._waiting)
        if active or ahead < free:
            self._taken.add(key)
            self._waiting.pop(key, None)
            return True
        self._waiting[key] = None
        return False

    def give(self, key: Key) -> None:
        """Give a slot back, or stop to wait for one."""
        self._waiting.pop(key, None)
        self._taken.discard(key)
        self._call_next()

    def change(self, limit: int | None) -> None:
        """Another limit from now on. None calls all that wait: where there is none, nobody asks for a slot."""
        if limit is None:
            for waiting in list(self._waiting):
                self.call(waiting)
            return
        self.limit = limit
        self._call_next()

    def _call_next(self) -> None:
        free = max(0, self.limit - len(self._taken))
        for waiting in list(self._waiting)[:free]:
            self.call(waiting)
