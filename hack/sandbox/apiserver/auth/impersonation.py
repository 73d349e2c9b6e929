"""Impersonation: acting as another user, for those who may."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import unquote

from sandbox.apiserver.auth.authorization import Authorizer
from sandbox.apiserver.auth.policy import Action
from sandbox.apiserver.auth.users import (
    ANONYMOUS,
    AUTHENTICATED,
    UNAUTHENTICATED,
    UserInfo,
    service_account_groups,
    split_service_account,
)
from sandbox.apiserver.statuses import internal

_AUTHENTICATION_GROUP = "authentication.k8s.io"
_EXTRA_PREFIX = "impersonate-extra-"


@dataclass(slots=True)
class _Request:
    """The Impersonate-* headers of a request."""

    user: str = ""
    uid: str = ""
    groups: list[str] = field(default_factory=list)
    extra: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.user or self.uid or self.groups or self.extra)


def impersonated(user: UserInfo, headers: Iterable[tuple[str, str]], authorizer: Authorizer) -> UserInfo:
    """The user that the request acts as: the caller, or whom the Impersonate-* headers name.

    Each named thing needs the verb impersonate on it; 403 if the caller lacks one.
    """
    request = _read(headers)
    if not request:
        return user
    if not request.user:
        raise internal("requested impersonation of groups, uid or extra without impersonating a user")
    for action in _needed(request):
        authorizer.require(user, action)
    return UserInfo(
        request.user,
        request.uid,
        _groups(request),
        {key: tuple(values) for key, values in request.extra.items()},
    )


def _read(headers: Iterable[tuple[str, str]]) -> _Request:
    request = _Request()
    for header, text in headers:
        key = header.lower()
        if key == "impersonate-user":
            request.user = text
        elif key == "impersonate-uid":
            request.uid = text
        elif key == "impersonate-group":
            request.groups.append(text)
        elif key.startswith(_EXTRA_PREFIX):
            request.extra.setdefault(unquote(key.removeprefix(_EXTRA_PREFIX)), []).append(text)
    return request


def _needed(request: _Request) -> Iterable[Action]:
    """What the caller must be allowed to do."""
    if account := split_service_account(request.user):
        yield Action(verb="impersonate", resource="serviceaccounts", namespace=account[0], name=account[1])
    else:
        yield Action(verb="impersonate", resource="users", name=request.user)
    for group in request.groups:
        yield Action(verb="impersonate", resource="groups", name=group)
    if request.uid:
        yield Action(verb="impersonate", group=_AUTHENTICATION_GROUP, resource="uids", name=request.uid)
    for key, values in request.extra.items():
        for text in values:
            yield Action(
                verb="impersonate", group=_AUTHENTICATION_GROUP, resource="userextras", subresource=key, name=text
            )


def _groups(request: _Request) -> tuple[str, ...]:
    """The groups asked for, and those that follow from the name."""
    groups = list(request.groups)
    account = split_service_account(request.user)
    if account and not groups:
        groups.extend(service_account_groups(account[0]))
    if request.user == ANONYMOUS.name:
        return tuple(groups if UNAUTHENTICATED in groups else [*groups, UNAUTHENTICATED])
    if AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return tuple(groups)
