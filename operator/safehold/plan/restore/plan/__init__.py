"""The plan of a restore: what it will do, how long that takes, and what is in its way; `make_plan` is the entry."""
