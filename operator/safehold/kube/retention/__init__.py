"""Retention in the cluster: what governs a target's points, previews in policies, and the catalogue of VMBackups."""
