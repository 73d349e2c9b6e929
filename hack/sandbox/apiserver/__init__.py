"""An embedded Kubernetes API server: a process on localhost with the API of kube-apiserver, without etcd and containers."""

from sandbox.apiserver.control_plane import ServerSettings
from sandbox.apiserver.server import EmbeddedApiServer, running_api_server

__all__ = ["EmbeddedApiServer", "ServerSettings", "running_api_server"]
