"""The cluster query language: what parses, what it means, and what a mistake is answered with."""

from __future__ import annotations

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from awsorch.core.errors import Refusal
from awsorch.core.placement.expression import compile_expression
from awsorch.core.placement.pattern import Pattern, PatternError
from tests.core.placement_records import an_instance

INSTANCE = an_instance(
    ec2_instance_id="i-0abc",
    agent_version="1.14.5",
    registered_at=1529360908.25,  # 2018-06-18T22:28:28Z
    attributes={
        "ecs.instance-type": "g2.2xlarge",
        "ecs.availability-zone": "us-east-1a",
        "stack": "prod",
        "weight": "9",
        "bare": None,
        "odd/name\\x": "a b",
    },
)

TRUE = """
attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d
attribute:ecs.availability-zone in [us-east-1a, us-east-1b]
attribute:ecs.availability-zone not_in ['us-east-1c', "us-east-1d"]
(attribute:none exists or attribute:bare exists) and attribute:stack == prod
attribute:stack equals prod && attribute:none not_exists
attribute:none !exists || attribute:stack==test
attribute:none != prod and attribute:none !in [prod] and attribute:none !~ prod
attribute:bare != prod
attribute:weight < 10
attribute:weight >= 9.0
attribute:stack greater_than alpha
attribute:odd/name\\x == 'a b'
attribute:stack matches '(prod|test)'
attribute:stack=~pr[a-z]d
!(attribute:stack == test)
not attribute:stack == test and attribute:stack == prod
attribute:none == x or attribute:stack == prod and attribute:weight == 9
agentConnected == true
agentConnected in [true,false]
agentVersion > 1.9.9
agentVersion == 1.14.5.0
agentVersion < 1.105.0
ec2InstanceId =~ i-0.*
registeredAt == 2018-06-18T22:28:28+00:00
registeredAt == 2018-06-18T22:28:28Z
registeredAt > 2018-06-18
registeredAt < 2018-06-18T22:28:29
runningTasksCount == 2
runningTasksCount less_than_equal 2
task:group == service:production
task:group in [service:production, none]
not(task:group == service:database)
task:group != service:database
task:group =~ service:prod.*
task:group !~ batch.*
"""

WRONG = {
    "": "Invalid expression at position 1: expected a subject (agentConnected, agentVersion, ec2InstanceId, "
    "registeredAt, runningTasksCount, task:group or attribute:<name>), found its end.",
    "pendingTasksCount == 1": "position 1: expected a subject",
    "attribute: == x": "position 11: expected the name of an attribute after 'attribute:'",
    "attribute:x": "position 12: expected an operator (== != > >= < <= exists !exists in !in =~ !~) after "
    "'attribute:x', found its end.",
    "task:group > a": "position 12: expected an operator",
    "attribute:x ==": "position 15: expected a value, found its end",
    "attribute:x == 'a": "position 18: expected a closing '",
    "attribute:x in a": "position 16: expected a list such as [a, b]",
    "attribute:x in [a b]": "position 19: expected ',' or ']'",
    "attribute:x == a b": "position 18: expected 'and', 'or' or the end, found 'b'",
    "(attribute:x == a": "position 18: expected ')', 'and' or 'or', found its end",
    "attribute:x == a)": "position 17: expected 'and', 'or' or the end",
    "attribute:x =~ '(a'": "position 16: expected a pattern (a '(' is not closed, at its character 1)",
    "agentVersion > new": "position 16: expected a version such as 1.14.5 after 'agentVersion >', found 'new'",
    "agentConnected == yes": "expected true or false",
    "registeredAt > yesterday": "expected a time such as 2018-06-18T22:28:28+00:00",
    "runningTasksCount > -1": "expected a number of tasks",
    "(" * 60 + "attribute:x exists": "expected no more than 50 parentheses inside one another",
    "attribute:x == " + "a" * 2000: "it has 2015 characters and may have 2000 at most",
}


@pytest.mark.parametrize("text", TRUE.strip().splitlines())
def test_what_holds_of_the_instance(text: str) -> None:
    groups = {"service:production": 1}
    assert compile_expression(text).holds(INSTANCE, 2, groups.keys())
    assert not compile_expression(f"not ({text})").holds(INSTANCE, 2, groups.keys())


@pytest.mark.parametrize(("text", "message"), WRONG.items())
def test_a_mistake_is_shown_with_its_place(text: str, message: str) -> None:
    with pytest.raises(Refusal) as caught:
        compile_expression(text)
    assert caught.value.code == "InvalidParameterException"
    assert caught.value.message.startswith("Invalid expression")
    assert message in caught.value.message


def test_an_instance_without_the_subject() -> None:
    bare = an_instance(agent_version=None, ec2_instance_id=None, attributes={})
    for text in ("agentVersion > 0.1", "agentVersion == 1", "ec2InstanceId == i-0abc", "attribute:weight > 1"):
        assert not compile_expression(text).holds(bare, 0, ())
    for text in ("agentVersion != 1", "ec2InstanceId != i-0abc", "ec2InstanceId !in [i-0abc]"):
        assert compile_expression(text).holds(bare, 0, ())


def test_only_questions_about_tasks_are_dynamic() -> None:
    assert compile_expression("runningTasksCount > 1 or attribute:x exists").dynamic
    assert compile_expression("not(task:group == a)").dynamic
    assert not compile_expression("attribute:x exists and agentConnected == true").dynamic


@given(st.text(max_size=60))
def test_any_text_parses_or_is_refused(text: str) -> None:
    with suppress(Refusal):  # and nothing else
        compile_expression(text).holds(INSTANCE, 0, ())


PIECES = ("a", "b", "1", "-", ".", "[ab]", "[^a1]", "[a-b1-]", "\\d", "\\w", "\\.", "(a|b)", "(?:ab)", "|", "()", "\\s")
QUANTIFIERS = ("", "", "*", "+", "?", "{2}", "{0,2}", "{1,}", "*?")


@given(
    st.lists(st.tuples(st.sampled_from(PIECES), st.sampled_from(QUANTIFIERS)), max_size=5),
    st.text("ab1-.", max_size=6),
)
def test_patterns_match_as_python_does(pieces: list[tuple[str, str]], value: str) -> None:
    text = "".join(piece + ("" if piece == "|" else quantifier) for piece, quantifier in pieces)
    assert Pattern(text).matches(value) == bool(re.fullmatch(text, value))
    assert Pattern(f"^({text})+$").matches(value) == bool(re.fullmatch(f"^({text})+$", value))


@pytest.mark.parametrize(
    ("text", "value"), [("\\p{Alpha}+\\P{Digit}", "abc-"), ("[\\d.]+", "10.5"), ("\\t\\S", "\tx"), ("a{0}", "")]
)
def test_java_notations(text: str, value: str) -> None:
    assert Pattern(text).matches(value)


@pytest.mark.parametrize(
    "text",
    [
        *("*a", "a**", "a*+", "(a", "a)", "[a", "[]", "[b-a]", "a{2,1}", "a{", "a{x}", "\\", "\\1", "\\bx", "(?=a)"),
        *("(?i)a", "\\p{L}", "a^b", "a$b", "[a&&b]", "[[a]]", "[\\D]", "[a-\\d]", "(" * 41 + ")" * 41, "a{9999}"),
    ],
)
def test_what_patterns_cannot_have_is_refused(text: str) -> None:
    with pytest.raises(PatternError):
        Pattern(text)


def test_no_pattern_takes_long() -> None:
    began = time.process_time()
    for text in ("(a*)*b", "(a|a)*b", "(a|aa)+b|c", "(.*a){20}b", "a?" * 50 + "a" * 50, "(([a-z]+)*)*1"):
        pattern = Pattern(text)
        assert not pattern.matches("a" * 5_000 + "!")
    assert time.process_time() - began < 5
