"""The command line: thin commands over the engine, the worker and the controller."""
