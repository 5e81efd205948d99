"""`bridge run`: an agent program in the user's own terminal, which a wake can type one line into.

The human sees the program as if we were not there. In between sit a relay (`relay`), which passes every
byte on and knows when the human typed last (`keys`), a model of the screen (`screen`), a judge of what the
input line shows (`verdict`; `line` and `box` are the two kinds), the careful typist (`inject`, its words in
`terms`), the line to the host worker (`link`, `control`), the heartbeat, and a monitor process that keeps
job control working and gives the terminal back should we be killed.

`run(Options(...), client)` is all that the outside needs.
"""

from bridge.terminal.heartbeat import SessionClient
from bridge.terminal.live import Live
from bridge.terminal.runner import Options, run
from bridge.terminal.verdict import Rules

__all__ = ["Live", "Options", "Rules", "SessionClient", "run"]
