"""Whatever may go wrong on the way to the Docker Engine and back, as the errors of the engine port.

The SDK lets through what its libraries raise, and takes answers apart without looking: an engine that is killed in the
middle of one, a proxy before it, or another engine that only resembles Docker's must be no bug of the agent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException

import requests
import urllib3
from docker.errors import APIError, DockerException, StreamParseError

from awsorch.agent.engine import (
    DISK_FULL,
    CannotPullContainerError,
    DockerTimeoutError,
    EngineError,
    EngineUnavailableError,
)

BROKEN_OFF = (requests.exceptions.ChunkedEncodingError, urllib3.exceptions.HTTPError, HTTPException)
"""The connection ended, or was not HTTP any more, in the middle of an answer."""
MALFORMED = (StreamParseError, ValueError, LookupError, TypeError, AttributeError)
"""An answer is no JSON, or not the JSON that the API's documentation promises."""
_FINAL_PULL_ERRORS = ("not found", "denied", "unauthorized", "no basic auth", "manifest unknown", "invalid", DISK_FULL)


@contextmanager
def engine_errors(state: str, timeout: float) -> Iterator[None]:
    """Raises EngineErrors only: `state` is what the container or image was to become, in `timeout` seconds."""
    try:
        yield
    except EngineError:
        raise
    except (requests.Timeout, urllib3.exceptions.TimeoutError) as error:
        raise _too_late(state, timeout) from error
    except requests.ConnectionError as error:
        if "timed out" in str(error):  # the SDK's streams wrap a time-out this way
            raise _too_late(state, timeout) from error
        raise EngineUnavailableError(f"The Docker Engine does not answer: {error}") from error
    except APIError as error:
        raise EngineError(words(error)) from error
    except BROKEN_OFF as error:
        raise EngineUnavailableError(f"The Docker Engine's answer broke off: {error}") from error
    except MALFORMED as error:
        raise EngineError(_not_understood(error)) from error
    except (DockerException, OSError) as error:
        raise EngineUnavailableError(f"The Docker Engine does not answer: {error}") from error


@contextmanager
def pull_errors() -> Iterator[None]:
    """Raises CannotPullContainerErrors for what the engine says, and for an answer that is none: another try may have a
    better one, and tries are counted. Time-outs and an engine that is away are for `engine_errors`."""
    try:
        yield
    except (requests.Timeout, urllib3.exceptions.TimeoutError):
        raise
    except APIError as error:
        raise pull_error(words(error)) from error
    except BROKEN_OFF as error:
        raise CannotPullContainerError(f"The Docker Engine's answer broke off: {error}", retriable=True) from error
    except MALFORMED as error:
        raise CannotPullContainerError(_not_understood(error), retriable=True) from error


def words(error: APIError) -> str:
    """The engine's own, as its command line prints them."""
    return f"Error response from daemon: {error.explanation or error}"


def pull_error(text: str) -> CannotPullContainerError:
    """What a pull failed of; whether another try may help, the words say."""
    final = any(phrase in text.lower() for phrase in _FINAL_PULL_ERRORS)
    return CannotPullContainerError(text, retriable=not final)


def _too_late(state: str, timeout: float) -> DockerTimeoutError:
    return DockerTimeoutError(f"Could not transition to {state}; timed out after waiting {timeout:g}s")


def _not_understood(error: Exception) -> str:
    return f"The Docker Engine's answer was not understood: {type(error).__name__}: {error}"
