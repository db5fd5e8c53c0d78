"""What a tag may be, and how lists of them are merged."""

from __future__ import annotations

import pytest

from awsorch.core.errors import Refusal
from awsorch.core.tags import merge_tags, parse_tags, tag_list, without_tags

MANY = {f"k{n}": "v" for n in range(50)}


def test_a_list_and_back() -> None:
    items = [{"key": "b", "value": "1"}, {"key": "a-Ä_.:/=+@ x", "value": ""}]
    assert tag_list(parse_tags(items)) == items
    assert parse_tags([{"key": "a"}]) == {"a": ""}
    assert len(parse_tags(tag_list(MANY))) == 50


@pytest.mark.parametrize(
    ("items", "text"),
    [
        ([{"key": ""}], "Tag key must be from 1 to 128 characters long."),
        ([{"value": "x"}], "Tag key must be from 1 to 128 characters long."),
        ([{"key": "k" * 129}], "Tag key must be from 1 to 128 characters long."),
        ([{"key": "k", "value": "v" * 257}], "Tag value must be at most 256 characters long."),
        ([{"key": "a"}, {"key": "a"}], "Duplicate tag keys found: 'a'. Each key may be given once."),
        (
            [{"key": "AWS:x"}],
            "Tag keys cannot start with 'aws:': the prefix is reserved for system tags.",
        ),
        (
            [{"key": "a*"}],
            "Tag key 'a*' contains invalid characters. Use letters, digits, spaces and _ . : / = + - @",
        ),
        (
            [{"key": "a", "value": "\n"}],
            "Tag value '\n' contains invalid characters. Use letters, digits, spaces and _ . : / = + - @",
        ),
        (tag_list({**MANY, "one more": ""}), "Number of tags exceeds the limit of 50."),
    ],
)
def test_tags_that_cannot_be(items: list[dict[str, str]], text: str) -> None:
    with pytest.raises(Refusal) as caught:
        parse_tags(items)
    assert (caught.value.code, caught.value.message) == ("InvalidParameterException", text)


def test_merging_keeps_order_and_takes_new_values() -> None:
    assert list(merge_tags({"a": "1", "b": "2"}, {"c": "3", "a": "4"}).items()) == [("a", "4"), ("b", "2"), ("c", "3")]


def test_system_tags_do_not_count() -> None:
    assert len(merge_tags({**MANY, "aws:ecs:clusterName": "c"}, {"k0": "new"})) == 51
    with pytest.raises(Refusal) as caught:
        merge_tags(MANY, {"one more": ""})
    assert caught.value.code == "LimitExceededException"


def test_removing() -> None:
    assert without_tags({"a": "1", "b": "2"}, ["b", "unknown"]) == {"a": "1"}
    with pytest.raises(Refusal):
        without_tags({}, ["aws:ecs:clusterName"])
