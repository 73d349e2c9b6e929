"""Authentication: whose request it is, from its Authorization header."""

from collections.abc import Mapping
from datetime import datetime

from sandbox.apiserver.auth.jwt import TokenError
from sandbox.apiserver.auth.tokens import TokenIssuer, VerifiedToken
from sandbox.apiserver.auth.users import ANONYMOUS, UserInfo, with_authenticated
from sandbox.apiserver.statuses import unauthorized


class Authenticator:
    """Knows fixed tokens of named users and the tokens of service accounts; without a token one is anonymous."""

    def __init__(self, tokens: Mapping[str, UserInfo], issuer: TokenIssuer) -> None:
        self._tokens = dict(tokens)
        self._issuer = issuer

    def authenticate(self, authorization: str | None, now: datetime) -> UserInfo:
        """The user of a request; 401 if it carries credentials that are not good."""
        if not authorization:
            return ANONYMOUS
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            return ANONYMOUS
        try:
            return self.identify(token.strip(), now).user
        except TokenError as error:
            raise unauthorized() from error

    def identify(self, token: str, now: datetime, audiences: tuple[str, ...] = ()) -> VerifiedToken:
        """Whom a token stands for, for requests and TokenReviews; TokenError if for nobody."""
        known = self._tokens.get(token)
        if known is not None:
            return VerifiedToken(with_authenticated(known), audiences)
        verified = self._issuer.verify(token, now, audiences)
        return VerifiedToken(with_authenticated(verified.user), verified.audiences)
