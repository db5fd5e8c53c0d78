"""The resource types that are made over the wire, as tables."""
