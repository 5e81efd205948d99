"""What the service needs from outside, as Protocols; adapters fulfil them, `bootstrap` brings both together."""
