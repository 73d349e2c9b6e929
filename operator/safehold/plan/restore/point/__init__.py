"""Which point a restore is of: chosen, found in the catalogue or asked of the bucket."""
