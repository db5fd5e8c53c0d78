"""What goes over the wire: ECS's JSON API, request signatures, the agents' control and telemetry messages.

Everything here turns bytes into values and back. It opens no sockets, keeps no state, reads no clock, and may
import nothing of awsorch outside this folder, so that the controller and the agent can share it.
"""
