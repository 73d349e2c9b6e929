"""A write on its way through admission."""

from dataclasses import dataclass
from typing import Literal, Protocol

from sandbox.apiserver.objects import JsonObject
from sandbox.apiserver.requests import WriteRequest

Verb = Literal["CREATE", "UPDATE", "DELETE"]


@dataclass(slots=True, kw_only=True)
class Operation:
    """What is about to happen. `item` is the new state (None on DELETE), `old` the stored one (None on CREATE)."""

    verb: Verb
    request: WriteRequest
    item: JsonObject | None
    old: JsonObject | None = None

    def concerns(self, group: str, plural: str, *verbs: Verb) -> bool:
        """The operation is one of `verbs` on that resource, and not on a subresource of it."""
        request = self.request
        return (request.group, request.plural) == (group, plural) and self.verb in verbs and not request.subresource


class Plugin(Protocol):
    """A built-in admission plugin: changes operation.item in place, or refuses with an ApiError."""

    def admit(self, operation: Operation) -> None:
        """Called for every write, before webhooks."""
