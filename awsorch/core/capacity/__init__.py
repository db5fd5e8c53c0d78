"""Capacity: what tasks wait for, which machines to have for them, and which of them may go. Pure."""
