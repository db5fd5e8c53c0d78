"""Templates that were not written for this project: deployed, used, changed, broken and deleted, they leave nothing."""

from __future__ import annotations

import pytest

from tests.e2e.corpus_play import ENTRIES, Stage, a_cloud, play_all

pytestmark = [pytest.mark.docker, pytest.mark.timeout(420)]

#: aws-cdk-lib gives the log groups of its two patterns `DeletionPolicy: Retain`.
RETAINED = {"describe_log_groups": 2}


def test_every_template_is_played_and_leaves_nothing() -> None:
    with a_cloud() as cloud:
        stage = Stage(cloud)
        before = stage.inventory()
        played = list(play_all(stage))
        after = stage.inventory()
    assert {each.name for each in played} == {entry.name for entry in ENTRIES}
    assert {name: count - before[name] for name, count in after.items() if count != before[name]} == RETAINED
