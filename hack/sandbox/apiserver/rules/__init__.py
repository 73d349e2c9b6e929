"""What the server knows about single built-in kinds beyond their schema: defaults, validation, immutable fields."""

from sandbox.apiserver.registry import Resource
from sandbox.apiserver.rules.kinds import KindRules
from sandbox.apiserver.rules.table import RULES

_NO_RULES = KindRules()


def rules_of(resource: Resource) -> KindRules:
    """The rules of a resource; custom resources have none, their schema says everything."""
    return _NO_RULES if resource.custom else RULES.get((resource.group, resource.kind), _NO_RULES)
