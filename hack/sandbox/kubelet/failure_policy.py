"""A Job's podFailurePolicy: what one failed pod means for its Job (pkg/controller/job/pod_failure_policy.go).

The first rule that matches decides; a pod that no rule matches counts towards the backoffLimit. The action FailIndex,
which only indexed Jobs have, counts here.
"""

from __future__ import annotations

from dataclasses import dataclass

from sandbox.cluster.client import Object


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a failed pod counts, and the message with which it ends its Job, if it does."""

    counts: bool = True
    job_failure: str = ""


def judge(job: Object, pod: Object) -> Verdict:
    """What a pod in phase Failed means."""
    rules = (job["spec"].get("podFailurePolicy") or {}).get("rules") or []
    for index, rule in enumerate(rules):
        match = _matching_exit(rule.get("onExitCodes"), pod) or _matching_condition(rule.get("onPodConditions"), pod)
        if not match:
            continue
        if rule["action"] == "FailJob":
            return Verdict(job_failure=f"{match} matching FailJob rule at index {index}")
        return Verdict(counts=rule["action"] != "Ignore")
    return Verdict()


def _matching_exit(wanted: Object | None, pod: Object) -> str:
    if not wanted:
        return ""
    status, metadata = pod["status"], pod["metadata"]
    for container in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        code = ((container.get("state") or {}).get("terminated") or {}).get("exitCode")
        if not code or wanted.get("containerName") not in (None, container["name"]):
            continue
        if (code in wanted["values"]) == (wanted["operator"] == "In"):
            where = f"pod {metadata['namespace']}/{metadata['name']}"
            return f"Container {container['name']} for {where} failed with exit code {code}"
    return ""


def _matching_condition(patterns: list[Object] | None, pod: Object) -> str:
    metadata = pod["metadata"]
    held = {(item["type"], item["status"]) for item in pod["status"].get("conditions") or []}
    for pattern in patterns or []:
        if (pattern["type"], pattern.get("status") or "True") in held:
            return f"Pod {metadata['namespace']}/{metadata['name']} has condition {pattern['type']}"
    return ""
