"""The life of the real programs: started in order, each waited for, stopped in reverse."""

from __future__ import annotations

import ssl
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self

import aiohttp

from sandbox.apiserver.binaries.assets import Assets
from sandbox.apiserver.binaries.commands import Files, apiserver_command, etcd_command, manager_command
from sandbox.apiserver.control_plane import ADMIN, ISSUER
from sandbox.apiserver.kubeconfig import admin_token, previous_port, write_kubeconfig
from sandbox.apiserver.server import SERVICE_NAMES
from sandbox.certificates import serving_files, signing_key
from sandbox.ports import LOOPBACK, free_ports
from sandbox.program import Program, ended

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_PROBE_SECONDS = 5.0


class RealApiServer:
    """etcd and kube-apiserver on localhost. `async with` starts and stops them; etcd's data outlives them."""

    def __init__(self, state: Path, assets: Assets, *, port: int = 0) -> None:
        self._state = state
        self._assets = assets
        self._port = port
        self._programs: list[Program] = []
        self._stack = AsyncExitStack()
        self.kubeconfig = state / "admin.kubeconfig"
        self.url = ""

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def wait(self) -> None:
        """Returns never: raises ProgramError as soon as a program ends by itself."""
        await ended(self._programs)

    async def _start(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)
        serving = serving_files(self._state / "pki", "apiserver", SERVICE_NAMES)
        token = admin_token(self._state / "admin.token")
        files = Files(
            state=self._state,
            authority=self._state / "pki" / "ca.crt",
            certificate=serving.certificate,
            key=serving.key,
            account_key=self._state / "service-accounts.key",
            tokens=self._state / "tokens.csv",
            kubeconfig=self.kubeconfig,
        )
        signing_key(files.account_key)
        files.tokens.touch(mode=0o600)
        files.tokens.write_text(f'{token},{ADMIN.name},{ADMIN.name},"{",".join(ADMIN.groups)}"\n')
        etcd_port, peer_port, manager_port, any_port = free_ports(4)
        port = self._port or previous_port(self.kubeconfig) or any_port
        self.url = f"https://{LOOPBACK}:{port}"
        write_kubeconfig(
            self.kubeconfig, server=self.url, authority=serving.authority, token=token, user="kubernetes-admin"
        )
        trust = ssl.create_default_context(cadata=serving.authority)
        etcd = etcd_command(self._assets.etcd, files, etcd_port, peer_port)
        await self._run("etcd", etcd, f"http://{LOOPBACK}:{etcd_port}/health")
        apiserver = apiserver_command(self._assets.apiserver, files, port, etcd_port, ISSUER)
        await self._run("kube-apiserver", apiserver, f"{self.url}/readyz", trust=trust, token=token)
        if self._assets.controller_manager:
            manager = manager_command(self._assets.controller_manager, files, manager_port)
            # Its certificate is one that it signs itself at every start.
            health = f"https://{LOOPBACK}:{manager_port}/healthz"
            await self._run("kube-controller-manager", manager, health, trust=False)

    async def _run(
        self, name: str, command: list[str], health: str, *, trust: ssl.SSLContext | bool = True, token: str = ""
    ) -> None:
        program = await Program.start(name, command, self._state / "logs" / f"{name}.log")
        self._stack.push_async_callback(program.stop, _STOP_SECONDS)
        self._programs.append(program)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=trust), timeout=aiohttp.ClientTimeout(total=_PROBE_SECONDS)
        ) as session:

            async def healthy() -> bool:
                try:
                    async with session.get(health, headers=headers) as answer:
                        return answer.status == 200
                except (aiohttp.ClientError, TimeoutError):
                    return False

            await program.wait_until(healthy, _START_SECONDS)
