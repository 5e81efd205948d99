"""The fake programs that the suite starts: standard library alone, run by the path of their file."""
