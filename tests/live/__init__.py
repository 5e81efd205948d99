"""Wakes into real codex and claude terminals while a scripted human works there, and the account of each turn."""
