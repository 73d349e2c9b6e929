"""CRD schemas: pruning, defaulting, validation and CEL rules of objects, and the check of a definition itself."""

from sandbox.apiserver.schema.compiled import CompiledSchema
from sandbox.apiserver.schema.definition import check_definition
from sandbox.apiserver.schema.fields import ErrorKind, FieldError

__all__ = ["CompiledSchema", "ErrorKind", "FieldError", "check_definition"]
