"""A registry that stands in for ECR's, where those can't be reached: a developer's machine, a closed network.

Images keep the names that task definitions have for them. ECR's accounts and regions are all one here: `app:1` of any
of its registries is `app:1` of the one that is there.
Source: Amazon ECR user guide, "Amazon ECR private registry" (the form of the names).
"""

import re

_ECR = re.compile(r"[0-9]{12}\.dkr[.-]ecr(-fips)?\.[a-z0-9-]+\.(amazonaws\.com(\.cn)?|on\.aws)/(?P<path>.+)")


class EcrMirror:
    """`registry` is its host and port; empty: ECR itself is asked."""

    def __init__(self, registry: str) -> None:
        self._registry = registry

    def source(self, image: str) -> str:
        """The name to pull an image by."""
        found = _ECR.fullmatch(image) if self._registry else None
        return f"{self._registry}/{found['path']}" if found is not None else image

    def held_as(self, image: str) -> str:
        """The name that the engine has the image by: the image's own where it has a tag, which can be given to any;
        by its digest the engine knows an image only where it was pulled from."""
        return self.source(image) if "@" in image else image
