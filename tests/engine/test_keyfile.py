"""Key files."""

import base64
import stat
from pathlib import Path

import pytest

from safehold.engine.keys.keyfile import RepositoryKey, read_key_file, write_key_file
from safehold.errors import KeyMaterialError, UsageError
from safehold.reasons import Reason

KEY = RepositoryKey(bytes(range(32)))


def test_a_written_key_is_read_back_and_is_private(tmp_path: Path) -> None:
    """A key file has mode 0600 and holds the key."""
    path = tmp_path / "key"
    write_key_file(path, KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(path) == KEY


def test_the_text_is_fixed() -> None:
    """The text of a key and its recipient never change: people have them on paper."""
    assert KEY.text() == "safehold-key-1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9jDc0p\n"
    assert KEY.recipient == RepositoryKey.parse(KEY.text()).recipient
    assert len(KEY.recipient) == 16


def test_an_existing_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second key does not replace the first."""
    path = tmp_path / "key"
    write_key_file(path, KEY)
    with pytest.raises(UsageError, match="exists already"):
        write_key_file(path, RepositoryKey.generate())
    assert read_key_file(path) == KEY


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "does not begin with"),
        ("safehold-key-2:AAAA", "does not begin with"),
        (KEY.text().replace("key-1", "key-0"), "of format 0, which this release does not read"),
        ("safehold-key-1:***", "not base64"),
        ("safehold-key-1:AAAA", "3 bytes instead of 36"),
        (KEY.text().replace("AAEC", "AAED"), "checksum"),
        ("safehold-key-1:" + base64.b64encode(bytes(35) + b"\1").decode(), "checksum"),
    ],
)
def test_a_malformed_key_is_refused_without_quoting_it(text: str, said: str) -> None:
    """What is wrong is said; the key's text is not."""
    with pytest.raises(KeyMaterialError, match=said) as caught:
        RepositoryKey.parse(text)
    assert caught.value.reason is Reason.INVALID_KEY
    assert KEY.text().strip()[20:40] not in str(caught.value)


def test_a_missing_file_and_a_binary_file_are_malformed_keys(tmp_path: Path) -> None:
    """Neither is mistaken for an empty key."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("missing", "binary"):
        with pytest.raises(KeyMaterialError):
            read_key_file(tmp_path / name)


def test_repr_hides_the_key() -> None:
    """A key that ends up in a log or a traceback shows its recipient only."""
    assert repr(KEY) == f"RepositoryKey(recipient={KEY.recipient})"
