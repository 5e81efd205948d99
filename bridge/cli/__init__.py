"""The `bridge` command: one file per noun, loaded when it is called."""
