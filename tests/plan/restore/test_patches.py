"""JSON patches on the objects of a new VM: what they may do, and what they are refused for."""

import json
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from safehold.api.restore_options import RestorePatch
from safehold.plan.names import RESTORED_BY
from safehold.plan.refusal import Refusal
from safehold.plan.restore.machine.patches import MAX_OPERATIONS, patch_objects
from safehold.reasons import Reason

VM: dict[str, Any] = {
    "apiVersion": "kubevirt.io/v1",
    "kind": "VirtualMachine",
    "metadata": {"name": "copy", "namespace": "shop", "labels": {RESTORED_BY: "r1"}},
    "spec": {"runStrategy": "Halted", "template": {"spec": {"domain": {"memory": {"guest": "1Gi"}}}}},
}
SECRET: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Secret",
    "metadata": {"name": "init", "namespace": "shop", "labels": {RESTORED_BY: "r1"}},
    "data": {"userdata": "c3dvcmRmaXNo"},
}
MEMORY = "/spec/template/spec/domain/memory/guest"


def patch(*operations: Any, kind: str = "VirtualMachine", name: str | None = None) -> RestorePatch:
    """A patch of these operations; a single string is taken as its text."""
    text = operations[0] if operations and isinstance(operations[0], str) else json.dumps(operations)
    return RestorePatch.model_validate({"target": {"kind": kind, "name": name}, "patch": text})


def patched(*patches: RestorePatch) -> list[dict[str, Any]] | Refusal:
    """The VM and the Secret with the patches; the originals stay as they are."""
    objects: list[dict[str, Any]] = [VM, SECRET]
    before = deepcopy(objects)
    result = patch_objects(objects, patches)
    assert objects == before
    return result


def test_patches_are_applied_in_order() -> None:
    """Each finds what the one before left, on the objects that it is for."""
    first = patch({"op": "replace", "path": MEMORY, "value": "2Gi"})
    second = patch({"op": "test", "path": MEMORY, "value": "2Gi"}, {"op": "replace", "path": MEMORY, "value": "3Gi"})
    third = patch({"op": "remove", "path": "/data/userdata"}, kind="Secret", name="init")
    result = patched(first, second, third)
    assert not isinstance(result, Refusal)
    vm, secret = result
    assert vm["spec"]["template"]["spec"]["domain"]["memory"]["guest"] == "3Gi"
    assert secret["data"] == {}


REFUSED: dict[str, tuple[RestorePatch, str]] = {
    "no JSON": (patch("[{"), "not JSON (line 1"),
    "no list": (patch('{"op": "remove", "path": "/spec"}'), "not a JSON array"),
    "no operations": (patch('["remove"]'), "not a JSON array of objects"),
    "unknown operation": (patch({"op": "merge", "path": "/spec"}), "lacks op, path"),
    "no path": (patch({"op": "remove"}), "lacks op, path"),
    "no value": (patch({"op": "add", "path": "/spec/x"}), "operation 1"),
    "nested": (patch("[" * 5000 + "]" * 5000), "patch 1"),
    "too many": (patch(*[{"op": "add", "path": "/spec/x", "value": 1}] * (MAX_OPERATIONS + 1)), "at most 64"),
    "nothing there": (
        patch({"op": "remove", "path": "/spec/absent"}),
        "operation 1 (remove /spec/absent) does not apply",
    ),
    "nobody there": (
        patch({"op": "remove", "path": "/data"}, kind="ConfigMap"),
        "creates VirtualMachine copy, Secret init",
    ),
    "other name": (patch({"op": "remove", "path": "/data"}, kind="Secret", name="other"), "Secret other"),
    "name": (patch({"op": "replace", "path": "/metadata/name", "value": "x"}), "cannot be changed"),
    "namespace": (patch({"op": "replace", "path": "/metadata/namespace", "value": "kube-system"}), "cannot be changed"),
    "no namespace": (patch({"op": "remove", "path": "/metadata/namespace"}), "cannot be changed"),
    "kind": (patch({"op": "replace", "path": "/kind", "value": "Pod"}), "cannot be changed"),
    "version": (patch({"op": "replace", "path": "/apiVersion", "value": "v1"}), "cannot be changed"),
    "mark": (patch({"op": "remove", "path": "/metadata/labels"}), "cannot be changed"),
    "metadata": (patch({"op": "replace", "path": "/metadata", "value": []}), "takes the object apart"),
    "whole": (patch({"op": "replace", "path": "", "value": 1}), "takes the object apart"),
    "owner": (patch({"op": "add", "path": "/metadata/ownerReferences", "value": []}), "ownerReferences cannot be set"),
    "running": (patch({"op": "add", "path": "/spec/running", "value": True}), "created halted"),
    "strategy": (
        patch({"op": "replace", "path": "/spec/runStrategy", "value": "Always"}),
        "spec.runStrategy of the VMRestore",
    ),
    "token": (
        patch({"op": "add", "path": "/type", "value": "kubernetes.io/service-account-token"}, kind="Secret"),
        "would grant access",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_patch_that_goes_wrong_or_too_far_is_refused(case: str) -> None:
    """The sentence names the patch and what is wrong."""
    wrong, words = REFUSED[case]
    refusal = patched(wrong)
    assert isinstance(refusal, Refusal)
    assert refusal.reason is Reason.PATCH_REFUSED
    assert "patch 1 of spec.patches" in refusal.message
    assert words in refusal.message


def test_no_value_of_a_secret_is_told() -> None:
    """A `test` that fails would tell what it compared with."""
    refusal = patched(patch({"op": "test", "path": "/data/userdata", "value": "guessed"}, kind="Secret"))
    assert isinstance(refusal, Refusal)
    assert "c3dvcmRmaXNo" not in refusal.message
    assert "guessed" not in refusal.message


def test_copies_of_copies_do_not_grow_without_end() -> None:
    """An object that doubles with every operation is refused long before it fills the memory."""
    double = [{"op": "copy", "from": "/spec", "path": f"/spec/x{number}"} for number in range(MAX_OPERATIONS)]
    refusal = patched(patch(*double))
    assert isinstance(refusal, Refusal)
    assert "larger than" in refusal.message


_POINTERS = st.sampled_from(
    ["", "/kind", "/metadata", "/metadata/name", "/metadata/labels", "/spec", "/spec/-", "/x", "/a~1b"]
)
_VALUES: st.SearchStrategy[Any] = st.sampled_from([None, 1, "x", [], {}, {"name": "x"}])


@given(
    operations=st.lists(
        st.fixed_dictionaries(
            {"op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "x"]), "path": _POINTERS},
            optional={"from": _POINTERS, "value": _VALUES},
        ),
        max_size=6,
    )
)
def test_whatever_is_written_names_and_kinds_stay(operations: list[dict[str, Any]]) -> None:
    """Any patch is refused, or leaves an object of the same kind, name, namespace and mark."""
    result = patched(patch(*operations) if operations else patch("[]"))
    if isinstance(result, Refusal):
        return
    for before, after in zip([VM, SECRET], result, strict=True):
        assert (after["kind"], after["apiVersion"]) == (before["kind"], before["apiVersion"])
        assert after["metadata"]["name"] == before["metadata"]["name"]
        assert after["metadata"]["namespace"] == "shop"
        assert after["metadata"]["labels"][RESTORED_BY] == "r1"
