"""The map of a volume: a tree that names the chunk of every slot."""
