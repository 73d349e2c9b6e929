"""Which programs a folder of binaries holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "KUBEBUILDER_ASSETS"


class AssetsError(Exception):
    """The folder lacks what is needed."""


@dataclass(frozen=True, slots=True)
class Assets:
    """Paths of the programs; the controller manager is not part of what setup-envtest brings."""

    etcd: Path
    apiserver: Path
    controller_manager: Path | None


def find_assets(folder: Path) -> Assets:
    """The programs in a folder; raises AssetsError if etcd or kube-apiserver is missing or cannot be run."""
    etcd, apiserver, manager = (folder / name for name in ("etcd", "kube-apiserver", "kube-controller-manager"))
    missing = [program.name for program in (etcd, apiserver) if not _is_program(program)]
    if missing:
        raise AssetsError(
            f"{VARIABLE} is {folder}: expected the programs etcd and kube-apiserver there, found no executable "
            f"{' and no executable '.join(missing)}; have setup-envtest fetch them and name the folder that it "
            "prints, or unset the variable for the embedded server"
        )
    return Assets(etcd, apiserver, manager if _is_program(manager) else None)


def _is_program(path: Path) -> bool:
    return path.is_file() and os.access(path, os.X_OK)
