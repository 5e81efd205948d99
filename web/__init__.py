"""The service over HTTP: parse, one command or query, render. Decides nothing."""
