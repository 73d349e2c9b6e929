"""What keeps a repository whole and small: marking, pruning, compacting, checking, copying. Never in a run's way."""
