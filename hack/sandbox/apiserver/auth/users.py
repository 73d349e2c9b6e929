"""Who a request is made by."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from sandbox.apiserver.objects import JsonObject

AUTHENTICATED: Final = "system:authenticated"
UNAUTHENTICATED: Final = "system:unauthenticated"
MASTERS: Final = "system:masters"
"""Members may do everything, whatever the roles say."""
SERVICE_ACCOUNTS: Final = "system:serviceaccounts"
_SERVICE_ACCOUNT_PREFIX: Final = "system:serviceaccount:"


@dataclass(frozen=True, slots=True)
class UserInfo:
    """A user as authentication sees it: a name, the groups, and extra facts such as the pod of a token."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def document(self) -> JsonObject:
        """The userInfo of reviews; empty parts are left out."""
        parts = {
            "username": self.name,
            "uid": self.uid,
            "groups": list(self.groups),
            "extra": {key: list(values) for key, values in self.extra.items()},
        }
        return {key: part for key, part in parts.items() if part}


ANONYMOUS: Final = UserInfo("system:anonymous", groups=(UNAUTHENTICATED,))


def with_authenticated(user: UserInfo) -> UserInfo:
    """The user as a member of system:authenticated, which all are who proved who they are."""
    if AUTHENTICATED in user.groups:
        return user
    return UserInfo(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)


def service_account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"{_SERVICE_ACCOUNT_PREFIX}{namespace}:{name}"


def split_service_account(user_name: str) -> tuple[str, str] | None:
    """Namespace and name of the service account that a user name stands for, or None."""
    namespace, colon, name = user_name.removeprefix(_SERVICE_ACCOUNT_PREFIX).partition(":")
    is_account = user_name.startswith(_SERVICE_ACCOUNT_PREFIX) and colon and namespace and name and ":" not in name
    return (namespace, name) if is_account else None


def service_account_groups(namespace: str) -> tuple[str, str]:
    """The groups that every service account of a namespace is in, besides system:authenticated."""
    return SERVICE_ACCOUNTS, f"{SERVICE_ACCOUNTS}:{namespace}"
