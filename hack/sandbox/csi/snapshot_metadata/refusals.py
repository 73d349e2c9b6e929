"""How a call is refused."""

from __future__ import annotations

import grpc


class RefusalError(Exception):
    """Ends the stream with a gRPC status."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
