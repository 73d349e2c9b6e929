"""The chart, rendered by Helm's own engine."""

import re
from pathlib import Path
from typing import Any

import helm_python
import pytest
import yaml

from safehold.controller.settings import ControllerSettings
from sandbox.demo.chart import CHART, render

ROOT = Path(__file__).parents[2]


def objects(values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """Every object of the chart with these values."""
    texts = [text for name, text in render(values or {}).items() if name.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def one(kind: str, name: str, values: dict[str, Any] | None = None) -> dict[str, Any]:
    """The object of that kind and name."""
    return next(found for found in objects(values) if found["kind"] == kind and found["metadata"]["name"] == name)


def test_lint_finds_nothing() -> None:
    """Helm's linter, strict, has neither errors nor warnings."""
    assert [found for found in helm_python.lint(str(CHART), {}, strict=True)["messages"] if found["severity"] > 1] == []


def test_every_crd_is_rendered_as_generated_and_kept() -> None:
    """The six kinds come from crds/ unchanged, and uninstalling the chart leaves them."""
    rendered = {found["metadata"]["name"]: found for found in objects() if found["kind"] == "CustomResourceDefinition"}
    generated = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    assert len(generated) == 6
    for crd in generated:
        found = rendered.pop(crd["metadata"]["name"])
        assert found["metadata"]["annotations"].pop("helm.sh/resource-policy") == "keep"
        assert found["spec"] == crd["spec"]
    assert rendered == {}


def test_crds_can_be_left_to_others() -> None:
    """`crds.install: false` renders none, for clusters where another pipeline owns them."""
    assert not [found for found in objects({"crds": {"install": False}}) if found["kind"] == "CustomResourceDefinition"]


def test_controller_is_a_restricted_pod() -> None:
    """The controller meets the "restricted" Pod Security Standard."""
    pod = one("Deployment", "safehold")["spec"]["template"]["spec"]
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 107,
        "runAsGroup": 107,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
    assert all(set(volume) <= {"name", "emptyDir"} for volume in pod["volumes"])


def test_every_variable_is_a_setting() -> None:
    """Each variable that the Deployment sets is one that the controller reads, so none is ignored."""
    values = {"worker": {"cloneStorageClass": "fast"}}
    container = one("Deployment", "safehold", values)["spec"]["template"]["spec"]["containers"][0]
    names = {variable["name"] for variable in container["env"]}
    assert {name.removeprefix("SAFEHOLD_").lower() for name in names} <= set(ControllerSettings.model_fields)


def test_a_volume_populator_is_made_only_where_it_is_asked_for() -> None:
    """Its kind is not installed everywhere; without the populator there is no right to watch claims either."""
    assert not [found for found in objects() if found["kind"] == "VolumePopulator"]
    made = one("VolumePopulator", "safehold", {"populator": {"register": True}})
    assert made["sourceKind"] == {"group": "safehold.dev", "kind": "VMBackup"}
    off = {"populator": {"enabled": False, "register": True}}
    assert not [found for found in objects(off) if found["kind"] == "VolumePopulator"]
    for values, watches in (({}, True), (off, False)):
        rules = one("ClusterRole", "safehold", values)["rules"]
        claims = [rule["verbs"] for rule in rules if rule["resources"] == ["persistentvolumeclaims"]]
        assert any("watch" in verbs for verbs in claims) is watches


def test_limits_of_runs_reach_the_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Per node and StorageClass; left out where nothing is limited."""
    limits = {"maxActiveRunsPerNode": 2, "maxActiveRunsByStorageClass": {"slow": 3}}
    (container,) = one("Deployment", "safehold", {"controller": limits})["spec"]["template"]["spec"]["containers"]
    for variable in container["env"]:
        monkeypatch.setenv(variable["name"], variable["value"])
    settings = ControllerSettings()
    assert (settings.max_active_runs_per_node, settings.max_active_runs_by_storage_class) == (2, {"slow": 3})
    (container,) = one("Deployment", "safehold")["spec"]["template"]["spec"]["containers"]
    assert not [variable for variable in container["env"] if variable["name"].startswith("SAFEHOLD_MAX_ACTIVE_RUNS_")]


def test_worker_account_has_no_token_and_no_role() -> None:
    """Workers have no rights in the cluster: no token is mounted, and no binding names their ServiceAccount."""
    assert one("ServiceAccount", "safehold-worker")["automountServiceAccountToken"] is False
    subjects = [
        subject["name"] for found in objects() if found["kind"].endswith("Binding") for subject in found["subjects"]
    ]
    assert subjects
    assert set(subjects) == {"safehold", "safehold-changed-blocks"}


def test_who_asks_for_changed_blocks_may_get_snapshots_here_and_nothing_else() -> None:
    """The second account of workers may get VolumeSnapshots of the operator's namespace; no token is mounted by it."""
    assert one("ServiceAccount", "safehold-changed-blocks")["automountServiceAccountToken"] is False
    bindings = [
        found["roleRef"]
        for found in objects()
        if found["kind"].endswith("Binding") and found["subjects"][0]["name"] == "safehold-changed-blocks"
    ]
    assert [(role["kind"], role["name"]) for role in bindings] == [("Role", "safehold-changed-blocks")]
    assert one("Role", "safehold-changed-blocks")["rules"] == [
        {"apiGroups": ["snapshot.storage.k8s.io"], "resources": ["volumesnapshots"], "verbs": ["get"]}
    ]


def test_tenants_write_no_status() -> None:
    """The roles for tenants name no subresource and no cluster-wide kind."""
    for name in ("safehold-tenant-edit", "safehold-tenant-view"):
        for rule in one("ClusterRole", name)["rules"]:
            assert not [resource for resource in rule["resources"] if "/" in resource or resource.startswith("cluster")]


def test_no_rule_has_a_wildcard() -> None:
    """The controller's rights name groups, resources and verbs one by one."""
    rules = [rule for found in objects() if found["kind"] in ("ClusterRole", "Role") for rule in found["rules"]]
    assert rules
    assert not [rule for rule in rules if "*" in rule["apiGroups"] + rule["resources"] + rule["verbs"]]


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"controller": {"maxActiveRuns": 0}}, "/controller/maxActiveRuns"),
        ({"controller": {"env": {"PATH": "/"}}}, "PATH"),
        ({"worker": {"memoryLimit": "lots"}}, "/worker/memoryLimit"),
        ({"image": {"repositry": "safehold"}}, "repositry"),
    ],
)
def test_wrong_values_are_named(values: dict[str, Any], complaint: str) -> None:
    """A value that cannot work, or a misspelt one, is refused with its path."""
    with pytest.raises(helm_python.HelmValuesError, match=re.escape(complaint)):
        render(values)


def test_kind_manifests_parse() -> None:
    """The manifests of hack/kind are YAML objects with kind and name."""
    for name in ("s3.yaml", "cluster.yaml"):
        for document in yaml.safe_load_all((ROOT / "hack" / "kind" / name).read_text()):
            assert document["kind"]


def test_kubevirt_engine_has_its_rights_only_where_it_is_enabled() -> None:
    """Without the value neither the controller's setting nor its role knows KubeVirt's backups."""

    def granted(values: dict[str, Any]) -> dict[str, list[str]]:
        rules = one("ClusterRole", "safehold", values)["rules"]
        groups = ("backup.kubevirt.io", "export.kubevirt.io")
        return {rule["resources"][0]: rule["verbs"] for rule in rules if rule["apiGroups"][0] in groups}

    assert granted({}) == {}
    assert granted({"engines": {"kubevirt": True}}) == {
        "virtualmachinebackups": ["list", "create", "delete"],
        "virtualmachinebackuptrackers": ["get", "list", "create", "patch"],
        "virtualmachineexports": ["get"],
    }
    for enabled in (False, True):
        deployment = one("Deployment", "safehold", {"engines": {"kubevirt": enabled}})
        environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        told = {entry["name"]: entry.get("value") for entry in environment}
        assert told["SAFEHOLD_KUBEVIRT_ENGINE"] == str(enabled).lower()
        egress = one("NetworkPolicy", "safehold-worker", {"engines": {"kubevirt": enabled}})["spec"]["egress"]
        assert (8443 in [port["port"] for port in egress[0]["ports"]]) is enabled


@pytest.mark.parametrize("enabled", [False, True])
def test_group_snapshots_have_their_rights_only_where_they_are_wanted(enabled: bool) -> None:
    """The controller's setting and its role follow one value, which is on by default."""
    values = {} if enabled else {"fallback": {"groupSnapshots": False}}
    rules = one("ClusterRole", "safehold", values)["rules"]
    granted = [rule["resources"][0] for rule in rules if rule["apiGroups"] == ["groupsnapshot.storage.k8s.io"]]
    wanted = ["volumegroupsnapshots", "volumegroupsnapshotcontents", "volumegroupsnapshotclasses"]
    assert granted == (wanted if enabled else [])
    deployment = one("Deployment", "safehold", values)
    environment = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    told = {entry["name"]: entry.get("value") for entry in environment}
    assert told["SAFEHOLD_GROUP_SNAPSHOTS"] == str(enabled).lower()
