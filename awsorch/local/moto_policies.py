"""moto's IAM takes policies without a version, or of the one before, as AWS does for the inline policies of so many
templates. Source: IAM user guide, "IAM JSON policy elements: Version" (without one a policy is of 2008-10-17).
"""

from __future__ import annotations

from typing import Any


def mend_policies() -> None:
    """Have moto do so. Raises AttributeError where it no longer has what this was written for."""
    from moto.iam.policy_validation import BaseIAMPolicyValidator as Validator

    assert callable(Validator._validate_version)

    def _validate_version(self: Any) -> None:
        """That it is one of the two is checked before."""

    Validator._validate_version = _validate_version
