"""Claims that fill themselves from restore points: `requests` finds them, `observer` reads what surrounds one."""
