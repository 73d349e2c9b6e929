"""What backups cost in time, and in which order they meet their deadlines.

history and experience learn from runs that are over; promises say when each run has to be finished; projection plays
the fair queue ahead, order chooses how its lines are sorted, forecast tells what comes of it. simulation plays days.
"""
