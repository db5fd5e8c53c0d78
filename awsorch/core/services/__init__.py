"""What rules and planners of services have in common: their events, their tasks' health, their deployments."""
