"""CloudFormation's ECS resources, over the ECS API as any client calls it."""
