"""The conformance suite: each known trap of a runtime, by name, tried on an adapter (`bridge doctor runtime`)."""
