#!/bin/sh
# LocalStack runs this when it is ready. What it makes in ECS is awsorch's.
set -eu
aws --endpoint-url "${AWS_ENDPOINT_URL:-http://localhost:4566}" ecs describe-clusters --clusters default
aws --endpoint-url "${AWS_ENDPOINT_URL:-http://localhost:4566}" ecs create-cluster --cluster-name app
