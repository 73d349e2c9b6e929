"""The index of a key domain: segments that say where chunks are, found without a lock and with bounded memory."""
