"""Text from users made safe for HAProxy's configuration: quoted words, log formats, patterns, names.

It exists because rules, headers and URLs are whatever a user of ELB's API wrote, and one quote or line break in the
wrong place would make them configuration. Every text passes through here; nothing here knows what it is for.
"""

from __future__ import annotations

import hashlib
import re
from urllib.parse import quote

_URL_SAFE = "!#$&()*+,-./:;=?@[]_~%"


def quoted(text: str) -> str:
    """One word of the configuration, whatever is in it. Raises ValueError for the one character no word can hold:
    NUL.
    """
    if "\0" in text:
        raise ValueError(f"{text!r} has a NUL character, which the balancer cannot be given")
    return re.sub(r"[\x00-\x1f\x7f']", lambda found: f"'\\x{ord(found[0]):02x}'", text).join("''")


def url_text(text: str) -> str:
    """Text for a URL: what may not stand in one is percent-encoded, and what is already encoded stays."""
    return quote(text, safe=_URL_SAFE)


def token(name: str) -> str:
    """A header's or a cookie's name. Raises ValueError where it is none (RFC 9110)."""
    if not name or not all(letter.isascii() and (letter.isalnum() or letter in "!#$&*+-.^_`|~") for letter in name):
        raise ValueError(f"{name!r} is not a name for a header or a cookie")
    return name


def literal_format(text: str) -> str:
    """Text that means itself inside a log format."""
    return text.replace("%", "%%")


def wildcards(pattern: str, one: str = ".") -> str:
    """A regular expression, without anchors, for a pattern with `*` and `?`; `one` is what `?` stands for.

    A backslash takes the meaning from a wildcard that follows. Characters but ASCII letters and digits go in as their
    bytes, so the result is printable and has neither quotes nor blanks.
    """
    parts = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            parts.append(_bytes_of(next(characters, "\\")))
        elif character == "*":
            parts.append(f"{one}*")
        elif character == "?":
            parts.append(one)
        else:
            parts.append(_bytes_of(character))
    return "".join(parts)


def name_of(kind: str, *parts: object) -> str:
    """A name for HAProxy that is the same for the same parts: the kind's letter and 16 hexadecimal digits."""
    return kind + hashlib.sha256("\0".join(map(str, parts)).encode()).hexdigest()[:16]


def _bytes_of(character: str) -> str:
    if character.isascii() and character.isalnum():
        return character
    return "".join(f"\\x{byte:02x}" for byte in character.encode())
