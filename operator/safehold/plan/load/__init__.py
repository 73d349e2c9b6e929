"""What backups cost in time, and in which order they meet their deadlines.

history and experience learn from runs that are over; appointments say when each run has to be finished; expectations
joins both. projection plays the fair queue ahead, order chooses how its lines are sorted, surplus what is put back
where not all can be in time, forecast tells what comes of it. simulation plays days of a fleet, made up or recorded,
beside plain cron.
"""
