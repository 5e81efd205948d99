"""The simulator: seeded worlds in virtual time that run the real core and break everything around it.

Nothing here decides about a wake, a thread or an agent: the core does. The store and the shell repeat the transactions
of the real ones (locks, guards, order); workers, broker, keepers, terminals and people are played, and fail.
"""
