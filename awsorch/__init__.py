"""awsorch: an open control plane compatible with Amazon ECS, and its agent. docs/map.md says where everything is."""
