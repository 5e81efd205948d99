"""The read side for API and pages: frozen read models, never rows. Nothing here writes or locks."""
