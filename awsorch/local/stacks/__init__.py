"""CloudFormation on a laptop: stacks of resources made over the wire, behind the local door."""
