"""The ECS door: AWS JSON 1.1 over HTTP, one function an operation."""
