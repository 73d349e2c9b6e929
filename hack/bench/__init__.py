"""`make bench`: Safehold beside restic, borg and dd, on one disk and one S3 server, in one run."""
