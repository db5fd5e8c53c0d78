"""The one error of this folder: bytes that do not say what they should, with the words ECS would use."""


class WireError(Exception):
    """A request or message that cannot be read, or that is not signed as it must be.

    `code` is the error's name on the wire (`__type`, e.g. "SerializationException"), `message` says what is
    wrong, `status` is the HTTP status that carries it.
    """

    def __init__(self, code: str, message: str, status: int = 400) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.status = status
