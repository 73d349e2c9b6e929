"""Changed blocks: who can be asked which ranges of a disk changed, and what is needed to believe the answer."""
