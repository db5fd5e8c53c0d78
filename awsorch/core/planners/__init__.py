"""Chores, named by verb. Each looks at one key, does a bounded amount, and says when to look again."""
