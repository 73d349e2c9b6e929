"""The main job in one command: two guests are backed up by policy, one is lost, both ways of restoring are proven."""
