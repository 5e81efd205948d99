"""`bridge demo`: a play of eight scenes with real processes, told as it happens, with expectations that can fail.

`play.play(options)` is all that the outside needs. It starts a stack of its own (`stack`), lets scripted agents run in
real terminals (`cast`, `agent`, `deaf`) and be started by the bridge (`started`, `starts`), plays the `programme` of
`scenes`, waits by asking (`watch`), tells what it sees (`timeline`), and leaves nothing behind (`processes`).
"""
