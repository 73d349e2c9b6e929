"""`safehold files`: single files out of a restore point, without restoring a disk."""
