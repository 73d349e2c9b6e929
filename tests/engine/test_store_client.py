"""The client by which a store is reached."""

import os
from pathlib import Path

import pytest
from botocore.loaders import Loader

from safehold.engine.store.client import S3Place, ServiceDescriptions, client_of

DATA = Path(Loader.BUILTIN_DATA_PATH)


def test_a_client_is_made_without_a_look_at_other_services(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command makes one, and botocore describes 400 services in a folder each."""
    looked_at: set[Path] = set()
    plain = os.listdir

    def listdir(path: str | Path) -> list[str]:
        looked_at.add(Path(path))
        return plain(path)

    monkeypatch.setattr(os, "listdir", listdir)
    assert client_of(S3Place(bucket="backups")).meta.service_model.service_name == "s3"
    assert {folder for folder in looked_at if folder.parent == DATA} == {DATA / "s3"}


def test_no_service_is_missed(tmp_path: Path) -> None:
    """Credentials may come from others than S3, such as STS. Folders that are searched need not exist."""
    searched = [str(tmp_path / "absent"), str(DATA)]
    ours = ServiceDescriptions(extra_search_paths=searched, include_default_search_paths=False)
    assert set(Loader().list_available_services("service-2")) <= set(ours.list_available_services("service-2"))
