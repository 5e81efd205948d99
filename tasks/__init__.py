"""What Celery runs: the tasks, the keeper of time, and what a worker of a host does besides.

Ids in, one command called, nothing decided. A task that is lost is what the keeper is for: no retries, no results.
"""
