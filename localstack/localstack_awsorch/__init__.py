"""Amazon ECS of LocalStack, or of LocalEmu, by awsorch: calls are passed on, and CloudFormation's types are made there.

AWSORCH_ENDPOINT says where awsorch listens; AWSORCH_ACCESS_KEY_ID and AWSORCH_SECRET_ACCESS_KEY are needed where it
checks signatures.
"""
