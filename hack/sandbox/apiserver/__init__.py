"""An embedded Kubernetes API server: kube-apiserver's API on localhost, without etcd and containers."""

from sandbox.apiserver.control_plane import ServerSettings
from sandbox.apiserver.server import EmbeddedApiServer, running_api_server

__all__ = ["EmbeddedApiServer", "ServerSettings", "running_api_server"]
