"""An event about a noun changes the state, or is refused. One module a noun; ``core/step.py`` has the table."""
