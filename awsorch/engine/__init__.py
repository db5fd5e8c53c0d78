"""The loop: what arrives is decided by the core, committed as a group, and only then let out. Knows nothing of AWS."""
