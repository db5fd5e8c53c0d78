"""Custom resources of stacks in an account: CloudFormation's requests, from a queue, carried out and answered."""
