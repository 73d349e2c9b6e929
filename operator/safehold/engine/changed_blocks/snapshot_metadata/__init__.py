"""The published messages of CSI's SnapshotMetadata service (schema.proto), as protoc makes them."""
