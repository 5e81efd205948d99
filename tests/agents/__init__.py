"""Real agent programs, offline: a mock model, private homes, and a bridge whose only network is `lo`."""
