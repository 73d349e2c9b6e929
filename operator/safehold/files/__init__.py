"""Single files out of a restore point: its disks are served over NBD to programs that know file systems."""
