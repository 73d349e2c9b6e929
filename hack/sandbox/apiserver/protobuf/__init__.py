"""Kubernetes' protobuf encoding of request bodies, which kubectl sends for built-in kinds."""

from sandbox.apiserver.protobuf.decoding import MEDIA_TYPE, decode_object

__all__ = ["MEDIA_TYPE", "decode_object"]
