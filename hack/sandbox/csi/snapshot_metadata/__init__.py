"""SnapshotMetadata over gRPC, as the external-snapshot-metadata sidecar (v1.1) serves it beside a driver.

Which blocks of a snapshot hold data, and which differ from an earlier snapshot of the same volume. The order of checks,
the status codes and their words are the sidecar's; what a driver decides is the hostpath driver's. `schema.proto` names
the messages, from which `schema_pb2.py` is generated (`make crds`).
"""
