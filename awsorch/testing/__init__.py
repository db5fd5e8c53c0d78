"""A pytest plug-in: tests of what deploys to Amazon ECS, against awsorch. docs/testing.md has its fixtures."""
