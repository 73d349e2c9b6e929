"""Bytes: changed extents, chunks, dedupe, sealing, packs, objects; and back. Knows neither Kubernetes nor the controller."""
