"""The controller program: Kopf handlers that observe, ask the planner, carry out. The only importer of `kopf`."""
