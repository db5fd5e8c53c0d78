"""AWS JSON 1.1 for one service: request bodies to validated dictionaries, answers to bytes.

Everything the service model says of an input is checked here, once, so that operations need not look at types.
Unlike botocore's own validator this one checks enumerations, and ignores members that it does not know.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, cast

import botocore.loaders
import msgspec
from botocore.model import ServiceModel, Shape

from awsorch.wire.errors import WireError
from awsorch.wire.outputs import check_value
from awsorch.wire.readers import Reader, ReaderCompiler, Unfit

#: What the service refuses in words of its own, which only its operations know: (input structure, member).
_OWN_WORDS: Mapping[str, frozenset[tuple[str, str]]] = {
    "ecs": frozenset(
        {
            ("Attribute", "targetType"),
            ("ClusterSetting", "name"),
            ("CreateServiceRequest", "schedulingStrategy"),
            ("DeleteAccountSettingRequest", "name"),
            ("DeleteAttributesRequest", "attributes"),
            ("DeleteTaskDefinitionsRequest", "taskDefinitions"),
            ("DescribeContainerInstancesRequest", "containerInstances"),
            ("DescribeTasksRequest", "tasks"),
            ("ListAttributesRequest", "targetType"),
            ("ListServicesRequest", "schedulingStrategy"),
            ("PutAccountSettingDefaultRequest", "name"),
            ("PutAccountSettingRequest", "name"),
            ("PutAttributesRequest", "attributes"),
            ("RegisterTaskDefinitionRequest", "containerDefinitions"),
            ("StartTaskRequest", "containerInstances"),
            ("UpdateContainerInstancesStateRequest", "containerInstances"),
            ("UpdateContainerInstancesStateRequest", "status"),
        }
    )
}
_SCALARS = frozenset({str, int, float, bool})


class Codec:
    """Reads inputs and writes outputs of every operation of a service; `Codec.load` makes it."""

    def __init__(self, service: str, target_prefix: str, readers: Mapping[str, Reader]) -> None:
        self._service = service
        self._readers = readers
        self._decoder = msgspec.json.Decoder()
        self._encoder = msgspec.json.Encoder(enc_hook=_to_dict)
        self.target_prefix = target_prefix
        self.operations = frozenset(readers)

    @classmethod
    @lru_cache(maxsize=4)
    def load(cls, service: str) -> "Codec":
        """Compile botocore's newest model of `service` ("ecs"); the same codec for every caller."""
        model = _service_model(service)
        compiler = ReaderCompiler(_OWN_WORDS.get(service, frozenset()))
        # Every operation of an AWS JSON service has an input shape, if only an empty one.
        readers = {
            name: compiler.compile(cast(Shape, model.operation_model(name).input_shape))
            for name in model.operation_names
        }
        return cls(service, model.metadata["targetPrefix"], readers)

    def decode(self, operation: str, body: bytes) -> dict[str, Any]:
        """The input in `body`: unknown members and nulls dropped, times as float seconds since the epoch.

        Raises WireError: SerializationException for what is not JSON or has the wrong JSON type,
        InvalidParameterException for missing members and values that are not allowed, UnknownOperationException.
        """
        reader = self._readers.get(operation)
        if reader is None:
            raise WireError("UnknownOperationException", f"There is no operation {operation!r}.")
        try:
            value: dict[str, Any] = reader(self._parse(body))
        except Unfit as error:
            raise error.to_wire() from None
        return value

    def decode_any(self, body: bytes) -> dict[str, Any]:
        """The JSON object in `body` without a look at its members. Raises WireError (SerializationException)."""
        value = self._parse(body)
        if not isinstance(value, dict):
            raise WireError("SerializationException", "The request body must be a JSON object.")
        return value

    def encode(self, value: Mapping[str, Any]) -> bytes:
        """The answer as JSON, without members that are None at any depth."""
        encoded = self._encoder.encode(value)
        # Only a few answers hold a None; looking for the word is far cheaper than walking every answer.
        return self._encoder.encode(_prune(value)) if b"null" in encoded else encoded

    def check_output(self, operation: str, value: Mapping[str, Any]) -> None:
        """Raises AssertionError where `value` is not an output of `operation`; for tests."""
        shape = _service_model(self._service).operation_model(operation).output_shape
        check_value(shape, value, operation)

    def _parse(self, body: bytes) -> Any:
        if not body or body.isspace():
            return {}
        try:
            value = self._decoder.decode(body)
        except RecursionError:
            raise WireError("SerializationException", "The request body is nested too deeply.") from None
        except ValueError as error:
            raise WireError("SerializationException", f"The request body is not valid JSON: {error}") from None
        return {} if value is None else value


@lru_cache(maxsize=4)
def _service_model(service: str) -> ServiceModel:
    return ServiceModel(botocore.loaders.Loader().load_service_model(service, "service-2"), service)


def _prune(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: member if type(member) in _SCALARS else _prune(member)
            for key, member in value.items()
            if member is not None
        }
    if isinstance(value, list | tuple):
        return [_prune(each) for each in value]
    return value


def _to_dict(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"an answer can not hold a {type(value).__name__}")
