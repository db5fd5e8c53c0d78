"""The agents' door: the websockets on which container instances get their work (ACS) and publish telemetry (TCS).

High-frequency signals end here; only edges (connected, gone, health changed) become events of a partition. Decides
nothing about tasks: what an instance is told is always read from its partition's state.
"""
