"""Which GitOps tool keeps an object as Git has it: it reverts what a restore changes."""

from collections.abc import Mapping
from typing import Any

TRACKED_BY: Mapping[str, str] = {
    "argocd.argoproj.io/tracking-id": "Argo CD",
    "argocd.argoproj.io/instance": "Argo CD",
    "kustomize.toolkit.fluxcd.io/name": "Flux",
    "helm.toolkit.fluxcd.io/name": "Flux",
}
"""Labels and annotations by which the tools know their objects."""
_PAUSED: Mapping[str, str] = {
    "kustomize.toolkit.fluxcd.io/reconcile": "disabled",
    "helm.toolkit.fluxcd.io/driftDetection": "disabled",
}
"""With these an object of the tool's is left as it is."""


def tracker_of(metadata: Mapping[str, Any]) -> str | None:
    """The tool that would revert changes of an object with this metadata; None when nobody would."""
    marks = {**(metadata.get("labels") or {}), **(metadata.get("annotations") or {})}
    if any(marks.get(key) == value for key, value in _PAUSED.items()):
        return None
    return next((tool for key, tool in TRACKED_BY.items() if marks.get(key)), None)
