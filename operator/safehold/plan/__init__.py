"""Pure decisions: what is due, what is kept, what the next step is. No clock, no I/O, no await."""
