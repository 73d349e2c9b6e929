"""Bytes: volume → chunks → packs → object store, and back. docs/format.md is the specification of what is stored."""
