"""Environment files: lines `NAME=value` of objects in S3, fetched with the execution role.

Source: ECS developer guide, "Pass environment variables to an Amazon ECS container".
"""

from collections.abc import Sequence

from awsorch.agent.services import ServiceError, Services
from awsorch.wire import acs
from awsorch.wire.sigv4 import Credentials


class EnvironmentFileError(Exception):
    """A file that can't be had or read; the text is the task's reason."""


async def read(file: acs.EnvironmentFile, services: Services, region: str, credentials: Credentials) -> str:
    """The content of one file. Raises EnvironmentFileError."""
    bucket, _, key = file.value.partition(":::")[2].partition("/")
    if file.type != "s3" or not (bucket and key):
        raise EnvironmentFileError(f"the environment file {file.value!r} is not the ARN of an object in S3")
    try:
        return (await services.read_object(bucket, key, region=region, credentials=credentials)).decode()
    except ServiceError as error:
        text = f"unable to download env file with key {key} from bucket {bucket}: {error}"
        raise EnvironmentFileError(text) from error
    except UnicodeDecodeError as error:
        raise EnvironmentFileError(f"env file with key {key} from bucket {bucket} is not in UTF-8") from error


def merge(texts: Sequence[str]) -> dict[str, str]:
    """The variables of all files; of two with one name the earlier file's."""
    variables: dict[str, str] = {}
    for text in texts:
        variables = {**parse(text), **variables}
    return variables


def parse(text: str) -> dict[str, str]:
    """Spaces and quotation marks are part of a value; lines that begin with # and those without a name or a value say
    nothing."""
    variables = {}
    for line in text.split("\n"):
        name, _, value = line.removesuffix("\r").partition("=")
        if name and value and not line.startswith("#"):
            variables[name] = value
    return variables
