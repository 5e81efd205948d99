"""The runtimes: how a line gets into an agent's session."""
