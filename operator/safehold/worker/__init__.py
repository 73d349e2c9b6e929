"""The worker: one Job is one verb. It reads a run from a folder, calls the engine, and answers with a report."""
