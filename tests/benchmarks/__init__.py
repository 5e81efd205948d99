"""Timed promises, measured and told; no test in CI fails on a wall-clock figure."""
