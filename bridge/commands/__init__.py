"""What the service does: one behaviour a file, one public function each, `verb_noun`. Load, decide, record.

A command never calls another one, and decides nothing itself: what follows is said in `bridge.core`.
"""
