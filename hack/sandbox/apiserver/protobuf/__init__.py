"""Kubernetes' protobuf encoding of request bodies, which kubectl sends for built-in kinds, and what its table tells."""

from sandbox.apiserver.protobuf.decoding import MEDIA_TYPE, decode_object
from sandbox.apiserver.protobuf.empty_fields import without_empty_fields
from sandbox.apiserver.protobuf.messages import OBJECT_META, message_of

__all__ = ["MEDIA_TYPE", "OBJECT_META", "decode_object", "message_of", "without_empty_fields"]
