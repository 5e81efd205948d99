"""`bridge up`: the embedded servers and every other process of the stack, started, watched and stopped.

Knows processes, files and sockets; nothing of threads and wakes. What runs is data (`services`), how it is
kept running is `supervision`, and `up` puts them together.
"""
