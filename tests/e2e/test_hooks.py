"""Application hooks of backups, in pods of the tenant's namespace."""

from tests.e2e.kinds import VM_BACKUP
from tests.e2e.namespace import Tenant
from tests.e2e.verdicts import assert_ready, assert_refused

from sandbox.cluster.client import Object
from sandbox.cluster.kinds import POD

_RBAC = "rbac.authorization.k8s.io"


async def application(tenant: Tenant) -> None:
    """A pod whose hooks write down what they are asked for."""
    command = ["sh", "-c", "trap exit TERM; while :; do sleep 0.1; done"]
    spec = {"containers": [{"name": "app", "image": "safehold", "command": command}]}
    pod = tenant.manifest("v1", "Pod", "app", spec)
    pod["metadata"]["labels"] = {"app": "shop"}
    await tenant.apply(pod)
    await tenant.world.until(POD, "app", tenant.name, lambda found: found["status"].get("phase") == "Running")


async def allow_hooks(tenant: Tenant) -> None:
    """What docs/application-hooks.md tells a namespace's administrator to do."""
    binding = tenant.manifest(f"{_RBAC}/v1", "RoleBinding", "safehold-hooks")
    role = {"apiGroup": _RBAC, "kind": "ClusterRole", "name": "safehold-hooks"}
    subject = {"kind": "ServiceAccount", "name": "safehold", "namespace": "safehold"}
    await tenant.world.apply({**binding, "roleRef": role, "subjects": [subject]})


def hook(name: str, script: str = "", **more: object) -> Object:
    """A hook that writes its name down, and runs a script after that."""
    command = ["sh", "-c", f"echo {name} >> /tmp/story; {script}"]
    return {"name": name, "selector": {"matchLabels": {"app": "shop"}}, "command": command, **more}


async def story(tenant: Tenant) -> list[str]:
    """The hooks that ran, in their order; waits for the first one."""
    told = "until test -e /tmp/story; do sleep 0.1; done; cat /tmp/story"  # the container's own
    return (await tenant.kubectl.run("exec", "app", "--namespace", tenant.name, "--", "sh", "-c", told)).split()


async def test_hooks_need_a_right_that_the_tenant_gives(tenant: Tenant) -> None:
    """Without it the backup is refused with the command that gives it; with it the hooks run around the capture."""
    await application(tenant)
    await tenant.machine("vm")
    hooks = {"pre": [hook("hold")], "post": [hook("resume")]}
    refused = await tenant.backed_up("refused", "vm", hooks=hooks)
    assert_refused(refused, "HookFailed", "kubectl create rolebinding safehold-hooks")
    assert [result["succeeded"] for result in refused["status"]["hooks"]] == [False, False]
    await allow_hooks(tenant)
    backup = await tenant.backed_up("allowed", "vm", hooks=hooks)
    assert_ready(backup)
    assert await story(tenant) == ["hold", "resume"]
    told = [(result["phase"], result["name"], result["exitCode"]) for result in backup["status"]["hooks"]]
    assert told == [("Pre", "hold", 0), ("Post", "resume", 0)]
    await tenant.left_nothing()


async def test_what_a_hook_holds_is_released_after_a_restart(tenant: Tenant) -> None:
    """A controller that is replaced while a hook runs begins it again; one that is cancelled is followed too."""
    await application(tenant)
    await allow_hooks(tenant)
    await tenant.machine("vm")
    slow = hook("hold", "until test -e /tmp/go; do sleep 0.1; done", timeout="10m")
    await tenant.apply(tenant.backup("b", "vm", hooks={"pre": [slow], "post": [hook("resume")]}))
    await tenant.world.until(VM_BACKUP, "b", tenant.name, lambda found: _begun(found) == ["hold"])
    assert await story(tenant) == ["hold"]
    async with tenant.world.controller_stopped():
        await tenant.kubectl.run("exec", "app", "--namespace", tenant.name, "--", "touch", "/tmp/go")  # noqa: S108  # as above
    assert_ready(await tenant.world.ended(VM_BACKUP, "b", tenant.name))
    assert await story(tenant) == ["hold", "hold", "resume"]
    await tenant.kubectl.run("exec", "app", "--namespace", tenant.name, "--", "rm", "/tmp/go", "/tmp/story")  # noqa: S108  # as above
    await tenant.apply(tenant.backup("c", "vm", hooks={"pre": [slow], "post": [hook("resume")]}))
    await tenant.world.until(VM_BACKUP, "c", tenant.name, lambda found: _begun(found) == ["hold"])
    assert await story(tenant) == ["hold"]
    await tenant.kubectl.run("delete", "vmbackups.safehold.dev", "c", "--namespace", tenant.name)
    assert await story(tenant) == ["hold", "resume"]
    await tenant.left_nothing()


def _begun(backup: Object) -> list[str]:
    hooks = (backup.get("status") or {}).get("hooks") or []
    return [result["name"] for result in hooks if "startTime" in result]
