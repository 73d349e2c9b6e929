"""The chart's monitoring: rendered only where it is asked for, and true to what the controller exports."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python
import promql_parser
import pytest
import yaml
from prometheus_client import CollectorRegistry

from safehold.controller.figures import Figures
from safehold.controller.metrics import Metrics
from safehold.plan.policy.coverage import GAPS
from sandbox.demo.chart import CHART, render

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text()
ALERTS = yaml.safe_load((CHART / "files" / "alerts.yaml").read_text())
RULES: list[dict[str, Any]] = ALERTS["groups"][0]["rules"]


@cache
def exported() -> dict[str, frozenset[str]]:
    """The metrics that the controller serves, under the names that people ask for, with their labels."""
    metrics = Metrics()
    labels = {name: tuple(one._labelnames) for one, names in _names(metrics.registry) for name in names}
    figures = Figures()
    metrics.registry.register(figures)
    labels |= {family.name: tuple(family._labelnames) for family in figures.collect()}  # type: ignore[attr-defined]  # of every family
    return {
        family.name + ("_total" if family.type == "counter" else ""): frozenset(labels[family.name])
        for family in metrics.registry.collect()
    }


def _names(registry: CollectorRegistry) -> list[tuple[Any, list[str]]]:
    return [(collector, list(names)) for collector, names in registry._collector_to_names.items()]


def documents(values: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What the chart renders for the Prometheus operator, by kind."""
    texts = [text for name, text in render({"metrics": values}).items() if name.endswith("monitoring.yaml")]
    return {found["kind"]: found for text in texts for found in yaml.safe_load_all(text) if found}


def test_nothing_of_the_prometheus_operator_by_default() -> None:
    """Its kinds are not in every cluster."""
    assert documents({}) == {}


def test_alerts_are_rendered_as_they_are_written() -> None:
    """Prometheus' own templates in them reach Prometheus, and its labels find the rule."""
    rule = documents({"alerts": True, "labels": {"release": "prometheus"}})["PrometheusRule"]
    assert rule["spec"] == ALERTS
    assert rule["metadata"]["labels"]["release"] == "prometheus"


def test_the_service_monitor_finds_the_service_and_keeps_its_labels() -> None:
    """The label `namespace` of the metrics is that of the VMs."""
    monitor = documents({"serviceMonitor": True})["ServiceMonitor"]
    (service,) = [
        found
        for name, text in render({}).items()
        if name.endswith("service.yaml")
        for found in yaml.safe_load_all(text)
    ]
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert endpoint["honorLabels"] is True


def test_a_service_monitor_without_its_service_is_refused() -> None:
    """It would find nothing."""
    with pytest.raises(helm_python.HelmError, match=r"metrics\.serviceMonitor needs metrics\.service"):
        documents({"serviceMonitor": True, "service": False})


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_alerts_ask_for_what_is_exported(rule: dict[str, Any]) -> None:
    """Each expression is PromQL; every metric in it exists, and has every label that is named, in the summary too."""
    promql_parser.parse(rule["expr"])
    asked = set(re.findall(r"safehold_\w+", rule["expr"]))
    assert asked
    assert asked <= exported().keys()
    named = {label.strip() for group in re.findall(r"by \(([^)]*)\)", rule["expr"]) for label in group.split(",")}
    named |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", rule["expr"]))
    named |= set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    for metric in asked:
        assert named <= exported()[metric], metric


def test_a_kept_label_is_one_that_exists() -> None:
    """The alert on VMs without a policy leaves out those that opted out, by the word that the controller uses."""
    (expression,) = [rule["expr"] for rule in RULES if "safehold_uncovered_machines" in rule["expr"]]
    assert set(re.findall(r'reason!="(\w+)"', expression)) <= set(GAPS)


def test_silence_fires_an_alert() -> None:
    """One alert fires when the metrics are absent, which no comparison of their values could."""
    assert [rule["alert"] for rule in RULES if "absent(" in rule["expr"]] == ["SafeholdControllerSilent"]


def test_the_page_explains_every_metric_with_its_labels() -> None:
    """One row each, and none of a metric that is not there."""
    rows = re.findall(r"^\| `(safehold_\w+)` \| ([\w, ]*)\| ", PAGE, re.MULTILINE)
    documented = {
        name: frozenset(label.strip() for label in labels.split(",") if label.strip()) for name, labels in rows
    }
    assert documented == exported()
    assert len(rows) == len(documented)


def test_the_page_says_what_to_do_about_every_alert() -> None:
    """One row each."""
    assert re.findall(r"^\| `(Safehold\w+)` \|", PAGE, re.MULTILINE) == [rule["alert"] for rule in RULES]
