"""Every local cloud has a loopback network of its own."""

from __future__ import annotations

import pytest

from awsorch.local.addresses import claim_network


def test_two_clouds_of_one_name_have_two_networks() -> None:
    first, held = claim_network(None, "here")
    with held:
        second, other = claim_network(None, "here")
        other.close()
        assert second != first
        with pytest.raises(OSError, match=f"{first}.0.0/16 of this cloud's instances is in use"):
            claim_network(first, "here")
    again, held = claim_network(first, "there")
    held.close()
    assert again == first
