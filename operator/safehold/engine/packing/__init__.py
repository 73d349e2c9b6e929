"""From bytes to objects: chunks are named, framed, compressed, sealed and packed."""
