"""The `awsorch` command: a client of the ECS API for people, and the switch of the local cloud."""
