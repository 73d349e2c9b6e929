"""Exports of claims, stopped machines and snapshots: their statuses, their lifetime, and the bytes that they serve."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import ssl
import tarfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
import yaml

from sandbox.apiserver.server import running_api_server
from sandbox.cluster.client import Cluster, Object
from sandbox.cluster.errors import InvalidError
from sandbox.cluster.kinds import (
    NAMESPACE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    SECRET,
    SERVICE,
    VIRTUAL_MACHINE,
    VM_EXPORT,
    VM_SNAPSHOT,
)
from sandbox.cluster.waiting import wait_until, wait_until_gone
from sandbox.csi.driver import volume_path
from sandbox.csi.service import running_storage
from sandbox.kubevirt.names import CONTENT_TYPE
from sandbox.kubevirt.service import Settings, running_kubevirt

from .objects import claim, export, machine, settled, snapshot
from .real_schemas import assert_really_valid
from .world import recording

pytestmark = pytest.mark.asyncio(loop_scope="module")
TOKEN = "s3cret"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Cluster, Path]]:
    """A cluster with storage and KubeVirt, and the folder of its volumes."""
    state = tmp_path_factory.mktemp("sandbox")
    settings = Settings(state=state / "kubevirt", volumes=state / "csi", image=None)
    with running_api_server(state / "api") as server:
        async with (
            running_storage(server.kubeconfig, settings.volumes),
            running_kubevirt(server.kubeconfig, settings),
            Cluster.connect(server.kubeconfig, "test") as cluster,
        ):
            yield cluster, settings.volumes


@pytest_asyncio.fixture(loop_scope="module")
async def namespace(sandbox: tuple[Cluster, Path], request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own, with a token and a stopped VM `web` that has run once."""
    cluster, _ = sandbox
    name = f"t-{hashlib.sha256(request.node.name.encode()).hexdigest()[:10]}"
    await cluster.create(NAMESPACE, {"metadata": {"name": name}})
    secret = {"metadata": {"name": "exp-token", "namespace": name}, "stringData": {"token": TOKEN}}
    await cluster.create(SECRET, secret)
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(name, "web-root", "Block", "64Mi"))
    await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(name, "web-data", "Filesystem", "64Mi"))
    await cluster.create(VIRTUAL_MACHINE, machine(name, "web"))
    await settled(cluster, VIRTUAL_MACHINE, name, "web", printableStatus="Running")
    await cluster.patch(VIRTUAL_MACHINE, "web", {"spec": {"runStrategy": "Halted"}}, name)
    await settled(cluster, VIRTUAL_MACHINE, name, "web", printableStatus="Stopped")
    return name


async def _ready(cluster: Cluster, namespace: str, name: str, kind: str, source: str, **spec: Any) -> Object:
    await cluster.create(VM_EXPORT, export(namespace, name, kind, source, **spec))
    return await settled(cluster, VM_EXPORT, namespace, name, phase="Ready")


async def _volume(cluster: Cluster, volumes: Path, namespace: str, name: str) -> Path:
    found = await cluster.get(PERSISTENT_VOLUME_CLAIM, name, namespace)
    assert found
    volume = await cluster.get(PERSISTENT_VOLUME, found["spec"]["volumeName"])
    assert volume
    return volume_path(volumes, volume["spec"]["csi"]["volumeHandle"])


def _url(exported: Object, volume: str, kind: str) -> str:
    links = exported["status"]["links"]["internal"]["volumes"]
    formats = next(item["formats"] for item in links if item["name"] == volume)
    return str(next(item["url"] for item in formats if item["format"] == kind))


async def _fetch(
    exported: Object, url: str, method: str = "GET", token: str | None = TOKEN, **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """Trusts nothing but the certificate in the status."""
    trusted = ssl.create_default_context(cadata=exported["status"]["links"]["internal"]["cert"])
    sent = {**headers, **({"x-kubevirt-export-token": token} if token else {})}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted), auto_decompress=False) as session,
        session.request(method, url, headers=sent) as response,
    ):
        return response, await response.read()


async def test_a_snapshot_is_served_as_it_was_cut(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """Raw and gzipped bytes are those of the snapshot, although the disk has changed since; names are the claims'."""
    cluster, volumes = sandbox
    disk = await _volume(cluster, volumes, namespace, "web-root")
    before = disk.read_bytes()
    await cluster.create(VM_SNAPSHOT, snapshot(namespace, "s1", "web"))
    await settled(cluster, VM_SNAPSHOT, namespace, "s1", readyToUse=True)
    with disk.open("r+b") as stream:
        stream.write(b"changed")
    exported = await _ready(cluster, namespace, "e1", "VirtualMachineSnapshot", "s1")
    assert {item["name"] for item in exported["status"]["links"]["internal"]["volumes"]} == {"web-root", "web-data"}
    assert _url(exported, "web-root", "raw").endswith("/volumes/e1-web-root/disk.img")
    _, raw = await _fetch(exported, _url(exported, "web-root", "raw"))
    _, packed = await _fetch(exported, _url(exported, "web-root", "gzip"))
    assert raw == before
    assert gzip.decompress(packed) == before
    _, image = await _fetch(exported, _url(exported, "web-data", "raw"))
    assert image == (await _volume(cluster, volumes, namespace, "web-data") / "disk.img").read_bytes()


async def test_the_disk_answers_as_the_recorded_server(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """HEAD, ranges, POST, the token as a parameter, refusals: as recorded over HTTP."""
    cluster, volumes = sandbox
    exported = await _ready(cluster, namespace, "e1", "VirtualMachine", "web")
    content = (await _volume(cluster, volumes, namespace, "web-root")).read_bytes()
    raw, packed = _url(exported, "web-root", "raw"), _url(exported, "web-root", "gzip")
    head, body = await _fetch(exported, raw, "HEAD")
    assert (head.status, head.headers["Content-Length"], head.headers["Accept-Ranges"], body) == (
        200, str(len(content)), "bytes", b""
    )  # fmt: skip
    part, body = await _fetch(exported, raw, Range="bytes=4096-8191")
    assert (part.status, part.headers["Content-Range"]) == (206, f"bytes 4096-8191/{len(content)}")
    assert body == content[4096:8192]
    tail, body = await _fetch(exported, raw, Range="bytes=-512")
    assert (tail.status, body) == (206, content[-512:])
    assert (await _fetch(exported, raw, Range=f"bytes={len(content)}-"))[0].status == 416
    assert (await _fetch(exported, raw, "POST"))[1] == content
    assert (await _fetch(exported, f"{raw}?x-kubevirt-export-token={TOKEN}", token=None))[0].status == 200
    for token in (None, "wrong", f"{TOKEN}\n".strip() + "x"):
        refused, body = await _fetch(exported, raw, token=token)
        assert (refused.status, body) == (401, b"")
    assert (await _fetch(exported, packed, "HEAD"))[0].status == 400
    missing, body = await _fetch(exported, raw.partition("/volumes")[0] + "/nosuch")
    assert (missing.status, body) == (404, b"404 page not found\n")


async def test_a_folder_that_nobody_marked_as_a_disk_is_served_file_by_file(
    sandbox: tuple[Cluster, Path], namespace: str
) -> None:
    """Without CDI's mark a Filesystem volume has the formats dir and tar.gz; with it, raw and gzip."""
    cluster, volumes = sandbox
    folder = await _volume(cluster, volumes, namespace, "web-data")
    (folder / "outside").symlink_to("/etc")
    exported = await _ready(cluster, namespace, "e1", "PersistentVolumeClaim", "web-data")
    base, archive = _url(exported, "web-data", "dir"), _url(exported, "web-data", "tar.gz")
    assert (await _fetch(exported, f"{base}/disk.img", Range="bytes=0-99"))[1] == (
        (folder / "disk.img").read_bytes()[:100]
    )
    assert b'href="disk.img"' in (await _fetch(exported, base))[1]
    assert (await _fetch(exported, f"{base}/outside/passwd"))[0].status == 404
    with tarfile.open(fileobj=io.BytesIO((await _fetch(exported, archive))[1])) as found:
        member = found.extractfile("./disk.img")
        assert member is not None
        assert member.read() == (folder / "disk.img").read_bytes()
    marked = {"metadata": {"annotations": {CONTENT_TYPE: "kubevirt"}}}
    await cluster.delete(VM_EXPORT, "e1", namespace)
    await wait_until_gone(cluster, POD, "virt-export-e1", namespace)
    await cluster.patch(PERSISTENT_VOLUME_CLAIM, "web-data", marked, namespace)
    exported = await _ready(cluster, namespace, "e2", "PersistentVolumeClaim", "web-data")
    assert (await _fetch(exported, _url(exported, "web-data", "raw"), "HEAD"))[0].status == 200


async def test_manifests_lead_an_importer_to_the_volumes(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """The authority, the VM and DataVolumes with URLs of this server, as JSON or YAML; the header for the token."""
    cluster, volumes = sandbox
    exported = await _ready(cluster, namespace, "e1", "VirtualMachine", "web")
    links = {item["type"]: item["url"] for item in exported["status"]["links"]["internal"]["manifests"]}
    items = json.loads((await _fetch(exported, links["all"]))[1])["items"]
    assert [item["kind"] for item in items] == ["ConfigMap", "VirtualMachine", "DataVolume"]
    assert items[0]["data"]["ca.pem"] == exported["status"]["links"]["internal"]["cert"]
    assert "uid" not in items[1]["metadata"]
    assert items[1]["metadata"]["name"] == "web"
    source = items[2]["spec"]["source"]["http"]
    assert source["secretExtraHeaders"] == ["header-secret-e1"]
    packed = (await _fetch(exported, source["url"]))[1]
    assert gzip.decompress(packed) == (await _volume(cluster, volumes, namespace, "web-root")).read_bytes()
    documents = list(yaml.safe_load_all((await _fetch(exported, links["all"], Accept="application/yaml"))[1]))
    assert [item for item in documents if item] == items
    header = yaml.safe_load((await _fetch(exported, links["auth-header-secret"]))[1].decode().removesuffix("---\n"))
    assert header["stringData"]["token"] == f"x-kubevirt-export-token:{TOKEN}"


async def test_an_export_ends_when_its_time_is_up(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """TtlDuration counts from the creation; the object, its children and its server go, and the claim is free again."""
    cluster, _ = sandbox
    exported = await _ready(cluster, namespace, "e1", "VirtualMachine", "web", ttlDuration="4s")
    url = _url(exported, "web-root", "raw")
    await wait_until_gone(cluster, VM_EXPORT, "e1", namespace)
    await wait_until_gone(cluster, POD, "virt-export-e1", namespace)
    assert await cluster.get(SERVICE, "virt-export-e1", namespace) is None
    with pytest.raises(aiohttp.ClientConnectionError):
        await _fetch(exported, url)


async def test_an_export_without_a_token_gets_one(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """The Secret is named in the status, dies with the export, and opens it."""
    cluster, _ = sandbox
    wanted = export(namespace, "e1", "VirtualMachine", "web")
    del wanted["spec"]["tokenSecretRef"]
    await cluster.create(VM_EXPORT, wanted)
    exported = await settled(cluster, VM_EXPORT, namespace, "e1", phase="Ready", tokenSecretRef="export-token-e1")
    secret = await cluster.get(SECRET, "export-token-e1", namespace)
    assert secret
    token = base64.b64decode(secret["data"]["token"]).decode()
    assert (await _fetch(exported, _url(exported, "web-root", "raw"), "HEAD", token))[0].status == 200
    assert (await _fetch(exported, _url(exported, "web-root", "raw"), "HEAD", ""))[0].status == 401
    await cluster.delete(VM_EXPORT, "e1", namespace)
    await wait_until_gone(cluster, SECRET, "export-token-e1", namespace)


@pytest.mark.parametrize(
    ("recorded", "kind", "source"),
    [
        ("e-nosnap", "VirtualMachineSnapshot", "nope"),
        ("e-inuse", "PersistentVolumeClaim", "run-root"),
        ("e-vmrun", "VirtualMachine", "run"),
        ("e-nopvc", "PersistentVolumeClaim", "nopvc"),
    ],
)
async def test_what_cannot_be_exported_says_why(
    sandbox: tuple[Cluster, Path], namespace: str, recorded: str, kind: str, source: str
) -> None:
    """Phase, reasons and messages of every refusal are those of the real controller."""
    cluster, _ = sandbox
    for volume in ("root", "data"):
        await cluster.create(PERSISTENT_VOLUME_CLAIM, claim(namespace, f"run-{volume}", "Filesystem", "64Mi"))
    await cluster.create(VIRTUAL_MACHINE, machine(namespace, "run"))
    await settled(cluster, VIRTUAL_MACHINE, namespace, "run", printableStatus="Running")
    await cluster.create(VM_EXPORT, export(namespace, recorded, kind, source))
    real = next(
        record.obj
        for record in recording("40")
        if record.kind == "VirtualMachineExport" and record.obj["metadata"]["name"] == recorded
        and record.obj.get("status")
    )  # fmt: skip
    ours = await wait_until(
        cluster, VM_EXPORT, recorded, namespace, reached=lambda obj: "conditions" in ((obj or {}).get("status") or {})
    )
    assert ours
    where = {"lab2/cbt-root": f"{namespace}/run-root", "lab2/cbt": f"{namespace}/run", "lab2": namespace}
    text = json.dumps(_facts(real))
    for old, new in where.items():
        text = text.replace(old, new)
    shown = json.loads(text)
    if shown.get("virtualMachineName") == "cbt":
        shown["virtualMachineName"] = "run"
    assert _facts(ours) == shown


async def test_objects_of_an_export_pass_the_real_schema(sandbox: tuple[Cluster, Path], namespace: str) -> None:
    """A ready export is valid under KubeVirt's own definition, in the stored version and in the older one."""
    cluster, _ = sandbox
    exported = await _ready(cluster, namespace, "e1", "VirtualMachine", "web")
    assert_really_valid(exported, "virtualmachineexports")
    older = await cluster.request(
        "GET", f"/apis/export.kubevirt.io/v1beta1/namespaces/{namespace}/virtualmachineexports/e1"
    )
    assert older["status"] == exported["status"]
    assert_really_valid(older, "virtualmachineexports")


@pytest.mark.parametrize(
    ("source", "refusal"),
    [
        ({"apiGroup": "kubevirt.io", "kind": "VirtualMachineInstance", "name": "web"}, "invalid kind"),
        ({"apiGroup": "kubevirt.io", "kind": "VirtualMachineSnapshot", "name": "s"}, "invalid apiGroup"),
    ],
)
async def test_admission_refuses_other_sources(
    sandbox: tuple[Cluster, Path], namespace: str, source: dict[str, str], refusal: str
) -> None:
    """Only the documented kinds can be exported."""
    wanted = export(namespace, "e1", "VirtualMachine", "web")
    wanted["spec"]["source"] = source
    with pytest.raises(InvalidError, match=refusal):
        await sandbox[0].create(VM_EXPORT, wanted)


def _facts(obj: Object) -> Object:
    """Everything of a status that somebody could wait for."""
    status = obj["status"]
    conditions = [
        {field: item.get(field) for field in ("type", "status", "reason", "message")} for item in status["conditions"]
    ]
    shown = {field: status.get(field) for field in ("phase", "links", "serviceName", "tokenSecretRef")}
    return {**shown, "virtualMachineName": status.get("virtualMachineName"), "conditions": conditions}
