"""By what others tell a restored VM from its original: MAC addresses, and the ids of its firmware."""

from typing import Any

from safehold.api.restore_options import Identity, IdentityChoice


def clear_identity(instance: dict[str, Any], wanted: Identity | None, *, is_copy: bool, has_state: bool) -> None:
    """Take out of a VM's template what it is to get anew from KubeVirt. A copy keeps nothing unless it is asked to.

    One whose TPM state comes back keeps its firmware id: libvirt files the state under it, and BitLocker opens with it.
    """
    domain = instance.get("domain") or {}
    if _is_new(wanted.firmware if wanted else None, is_copy=is_copy and not has_state):
        _clear_firmware(domain)
    if _is_new(wanted.mac_addresses if wanted else None, is_copy=is_copy):
        for interface in (domain.get("devices") or {}).get("interfaces") or []:
            interface.pop("macAddress", None)


def _is_new(choice: IdentityChoice | None, *, is_copy: bool) -> bool:
    return is_copy if choice is None else choice == "Regenerate"


def _clear_firmware(domain: dict[str, Any]) -> None:
    firmware = domain.get("firmware")
    if firmware:
        firmware.pop("uuid", None)
        firmware.pop("serial", None)
        if not firmware:
            del domain["firmware"]
