"""Policies: when each VM's backup starts, and what becomes of that.

schedule (cron lines) and hours (windows, blackouts) make a timetable; starts says whose moment has come; breaker and
delays say who is held back; decision turns all of it into VMBackups to create and a status.
"""
