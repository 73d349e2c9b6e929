"""Credentials of one file and of nothing else: a tenant's target never gets the operator's own identity."""

import configparser
from pathlib import Path
from typing import TypedDict

from safehold.errors import StoreDeniedError


class Credentials(TypedDict, total=False):
    """What botocore's clients take; with all of it, botocore does not look for itself."""

    aws_access_key_id: str
    aws_secret_access_key: str
    aws_session_token: str | None


def read_profile(path: Path) -> Credentials:
    """The profile `default` of a shared credentials file, without any fallback to the environment or the instance."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8"))
        profile = parser["default"]
        return {
            "aws_access_key_id": profile["aws_access_key_id"],
            "aws_secret_access_key": profile["aws_secret_access_key"],
            "aws_session_token": profile.get("aws_session_token"),
        }
    except (OSError, UnicodeDecodeError, configparser.Error, KeyError):
        # The parser's messages quote lines, and a line may be a secret.
        raise StoreDeniedError(
            "The credentials file is malformed",
            expected="a profile 'default' with aws_access_key_id and aws_secret_access_key",
        ) from None
