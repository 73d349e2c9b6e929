"""How large the fleet is, and what its objects are called."""

from collections.abc import Iterator
from dataclasses import dataclass

VOLUME = "root"
"""Every VM's one disk; its claim has the VM's name."""
TARGET = "primary"
NEVER = "0 0 1 1 *"
"""The schedule of a policy that is not due while the bench lasts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A fleet: VMs in equal parts over namespaces, and each namespace's VMs over its policies."""

    vms: int = 5000
    namespaces: int = 50
    policies: int = 100
    catalogue: int = 10
    """Finished VMBackups of each VM; the chart keeps as many."""

    def namespace_names(self) -> list[str]:
        """All namespaces with VMs."""
        return [f"tenant-{number:03d}" for number in range(self.namespaces)]

    def machines(self) -> Iterator[tuple[str, str, str]]:
        """Namespace, name and group of every VM; a group is what one policy selects in a namespace."""
        groups = max(1, self.policies // self.namespaces)
        for number in range(self.vms):
            namespace, place = number % self.namespaces, number // self.namespaces
            yield f"tenant-{namespace:03d}", f"vm-{place:05d}", f"group-{place % groups}"

    def policy_places(self) -> list[tuple[str, str]]:
        """Namespace and group of every policy."""
        return [
            (f"tenant-{number % self.namespaces:03d}", f"group-{number // self.namespaces}")
            for number in range(self.policies)
        ]
