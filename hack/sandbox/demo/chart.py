"""Installs charts/safehold as Helm would: rendered by Helm's own engine, applied with kubectl."""

from pathlib import Path
from typing import Any

import helm_python

from sandbox.demo.kubectl import Kubectl

CHART = Path(__file__).parents[3] / "charts" / "safehold"
NAMESPACE = "safehold"
RELEASE = "safehold"


def render(values: dict[str, Any], *, release: str = RELEASE, namespace: str = NAMESPACE) -> dict[str, str]:
    """The chart's manifests by template, for these values."""
    with helm_python.Chart.load(str(CHART)) as chart:
        return dict(chart.render(values, name=release, namespace=namespace))


async def install(kubectl: Kubectl, values: dict[str, Any]) -> None:
    """Applies the CRDs, waits until the API server serves them, and applies the rest."""
    manifests = render(values)
    crds = "\n---\n".join(text for name, text in manifests.items() if name.endswith("crds.yaml"))
    rest = "\n---\n".join(
        text for name, text in manifests.items() if name.endswith(".yaml") and not name.endswith("crds.yaml")
    )
    await kubectl.apply(f"apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n")
    await kubectl.apply(crds)
    await kubectl.run("wait", "--for=condition=Established", "crd", "--all", "--timeout=300s")
    await kubectl.apply(rest)
