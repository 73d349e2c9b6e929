"""The volumes of a restore: which, from what they are made, how they are filled and handed over."""
