"""The pure core: values in, a Decision out. Standard library only; no clock, no randomness, no environment, no log."""
