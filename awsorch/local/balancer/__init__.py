"""Elastic Load Balancing's data plane on this machine: HAProxy, told by records what it is to carry."""
