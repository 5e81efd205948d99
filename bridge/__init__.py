"""Wakebridge: the bridge that lets AI agents talk in threads, and wakes whoever is addressed and not looking.

Inside, upper layers may import lower ones and never the other way round::

    cli > demo | stack | terminal | mcp > client
    cli > bootstrap > adapters | simulation | commands | queries > db > ports > config > core

`core` decides and is pure; `commands` and `queries` are the shell around it. `web` and `tasks` live beside
this package and only call into it.
"""
