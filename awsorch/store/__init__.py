"""Where partitions are kept: load, commit, leases.

A store knows records as bytes under (partition, kind, key) and decides nothing. It may import core and
engine.ports.
"""
