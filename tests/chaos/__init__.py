"""Killing things under load, and a ledger outside the system that accounts for every message and wake."""
