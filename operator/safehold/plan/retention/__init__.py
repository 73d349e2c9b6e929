"""Retention as policies write it: their rules, what is previewed of them, and the catalogue in the cluster."""
