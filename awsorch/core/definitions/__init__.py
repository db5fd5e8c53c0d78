"""Task definitions: what may be registered, what ECS adds to it, and what a task may override.

Pure functions over documents in ECS's own JSON shape. Nothing here knows revisions, tables or the clock.
"""
