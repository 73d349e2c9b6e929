"""Safehold: backups for KubeVirt virtual machines to S3-compatible object storage."""

__version__ = "0.1.0"
