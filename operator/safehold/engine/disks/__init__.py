"""Disks of virtual machines: read, filled, scanned, and compared with a restore point."""
