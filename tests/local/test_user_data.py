from __future__ import annotations

import base64

import pytest

from awsorch.local.user_data import agent_settings, cluster_user_data


def test_the_user_data_of_awsorch_up_joins_the_cluster() -> None:
    text = cluster_user_data("prod")
    assert text == "#!/bin/bash\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config\n"
    assert agent_settings(text) == {"ECS_CLUSTER": "prod"}


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ('echo "ECS_CLUSTER=prod" >> /etc/ecs/ecs.config', {"ECS_CLUSTER": "prod"}),
        ("echo ECS_CLUSTER=prod | sudo tee -a /etc/ecs/ecs.config", {"ECS_CLUSTER": "prod"}),
        (
            'echo \'ECS_INSTANCE_ATTRIBUTES={"a":"b c"}\'>>/etc/ecs/ecs.config',
            {"ECS_CLUSTER": "default", "ECS_INSTANCE_ATTRIBUTES": '{"a":"b c"}'},
        ),
        (
            "#!/bin/bash\ncat <<'EOF' >> /etc/ecs/ecs.config\nECS_CLUSTER=prod\nECS_LOGLEVEL=debug\nEOF\nECS_X=1",
            {"ECS_CLUSTER": "prod", "ECS_LOGLEVEL": "debug"},
        ),
        ("cat > /etc/ecs/ecs.config <<END\nECS_CLUSTER=prod\nEND", {"ECS_CLUSTER": "prod"}),
        (
            'echo -e "ECS_CLUSTER=prod\\nECS_LOGLEVEL=warn" > /etc/ecs/ecs.config',
            {"ECS_CLUSTER": "prod", "ECS_LOGLEVEL": "warn"},
        ),
        (
            "#cloud-config\nbootcmd:\n  - echo ECS_CLUSTER=prod >> /etc/ecs/ecs.config\nruncmd:\n"
            "  - [sh, -c, 'echo ECS_LOGLEVEL=warn >> /etc/ecs/ecs.config']",
            {"ECS_CLUSTER": "prod", "ECS_LOGLEVEL": "warn"},
        ),
        (
            "#cloud-config\nwrite_files:\n- path: /etc/ecs/ecs.config\n  content: |\n    ECS_CLUSTER=prod\n"
            "- path: /etc/ecs/ecs.config\n  append: true\n  encoding: b64\n  content: RUNTX0xPR0xFVkVMPXdhcm4=\n",
            {"ECS_CLUSTER": "prod", "ECS_LOGLEVEL": "warn"},
        ),
        (
            'Content-Type: multipart/mixed; boundary="x"\n\n--x\nContent-Type: text/x-shellscript\n'
            "Content-Transfer-Encoding: base64\n\n"
            + base64.b64encode(b"#!/bin/sh\necho ECS_CLUSTER=prod >> /etc/ecs/ecs.config").decode()
            + "\n--x--",
            {"ECS_CLUSTER": "prod"},
        ),
        ("#cloud-config\n- /etc/ecs/ecs.config", {"ECS_CLUSTER": "default"}),
        ("#cloud-config\na: [ /etc/ecs/ecs.config", {"ECS_CLUSTER": "default"}),
        (
            "#cloud-config\nwrite_files:\n- {path: /etc/ecs/ecs.config, encoding: gz+b64, content: abc}",
            {"ECS_CLUSTER": "default"},
        ),
        ("touch /etc/ecs/ecs.config", {"ECS_CLUSTER": "default"}),
        ("echo 'broken >> /etc/ecs/ecs.config", {"ECS_CLUSTER": "default"}),
        (
            '{"ECSAgentConfiguration": {"Cluster": "prod", "InstanceAttributes": {"a": "b"}}}',
            {"ECS_CLUSTER": "prod", "ECS_INSTANCE_ATTRIBUTES": '{"a": "b"}'},
        ),
    ],
)
def test_the_usual_ways_to_write_the_configuration_are_understood(text: str, settings: dict[str, str]) -> None:
    assert agent_settings(text) == settings


@pytest.mark.parametrize(
    "text", ["", "#!/bin/bash\nyum update -y", "{", "{}", '{"ECSAgentConfiguration": 1}', "ECS_CLUSTER=x"]
)
def test_other_user_data_is_no_business_of_ours(text: str) -> None:
    assert agent_settings(text) is None
