"""The worker program: one Job, one verb. Reads its run, calls the engine, reports."""
