"""The cloud on a laptop: the door, moto behind it, and a fleet of local instances, under one small supervisor."""
