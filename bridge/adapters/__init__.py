"""The outside: what fulfils the ports."""
