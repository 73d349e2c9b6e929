"""The four kinds of PATCH, and who owns which field (server-side apply's managedFields)."""
