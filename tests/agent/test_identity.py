"""Which instance an agent says it is, and in whose name, by what instance metadata tells it."""

from pathlib import Path

import pytest

from awsorch.agent import identity
from awsorch.agent.credentials import NoCredentialsError
from awsorch.agent.identity import NoIdentityError
from awsorch.wire import tcs
from tests.agent.bench import PAGES, Bench, MetadataService, play


class TestIdentity:
    def environment(self, url: str, **more: str) -> dict[str, str]:
        return {
            "ECS_EXTERNAL": "",
            "AWS_DEFAULT_REGION": "",
            "AWS_ACCESS_KEY_ID": "",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
            **more,
        }

    def test_an_ec2_instance_says_who_it_is_and_signs_with_its_role(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            async with MetadataService(PAGES) as url:
                await bench.start(**self.environment(url))
                request = bench.backend.calls("RegisterContainerInstance")[0]
                assert request["instanceIdentityDocument"] == PAGES["dynamic/instance-identity/document"]
                assert request["instanceIdentityDocumentSignature"] == "signed"
                attributes = {each["name"]: each.get("value") for each in request["attributes"]}
                assert attributes["ecs.vpc-id"] == "vpc-1"
                assert attributes["ecs.subnet-id"] == "subnet-1"
                assert not attributes.keys() & {"ecs.cpu-architecture", "ecs.outpost-arn"}
                assert bench.backend.calls("DiscoverPollEndpoint")[0]["zoneId"] == "euw1-az1"
                await bench.backend.until(lambda: bench.backend.telemetry_frames)
                headers, _ = tcs.split_frame(bench.backend.telemetry_frames[0])
                assert "Credential=ASIA/" in headers["authorization"]
                assert "/eu-west-1/ecs/" in headers["authorization"]
                assert headers["x-amz-security-token"] == "t"
                await bench.stop()

        play(tmp_path, scenario)

    def test_an_outpost_is_told(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            arn = "arn:aws:outposts:eu-west-1:123456789012:outpost/op-1"
            async with MetadataService({**PAGES, "meta-data/outpost-arn": arn}) as url:
                await bench.start(**self.environment(url))
                (request,) = bench.backend.calls("RegisterContainerInstance")
                assert {"name": "ecs.outpost-arn", "value": arn} in request["attributes"]
                await bench.stop()

        play(tmp_path, scenario)

    def test_no_metadata_service_and_not_external(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(identity, "DOCUMENT_PATIENCE", 0.05)
        monkeypatch.setattr(identity, "RETRY_DELAY", 0.01)

        async def scenario(bench: Bench) -> None:
            with pytest.raises(NoIdentityError, match="ECS_EXTERNAL=true"):
                await bench.start(**self.environment("http://127.0.0.1:9"))

        play(tmp_path, scenario)

    def test_a_disk_from_another_instance_is_not_believed(self, tmp_path: Path) -> None:
        async def scenario(bench: Bench) -> None:
            async with MetadataService(PAGES) as url:
                await bench.start(**self.environment(url))
                await bench.stop()
            other = {**PAGES, "dynamic/instance-identity/document": '{"instanceId": "i-2", "region": "eu-west-1"}'}
            async with MetadataService(other) as url:
                await bench.start(**self.environment(url))
                assert "containerInstanceArn" not in bench.backend.calls("RegisterContainerInstance")[1]
                await bench.stop()

        play(tmp_path, scenario)

    @pytest.mark.parametrize("answer", ['{"Code": "Failed"}', "[1]", '{"AccessKeyId": "A"}', "not JSON"])
    def test_credentials_that_are_not_there_yet(self, tmp_path: Path, answer: str) -> None:
        async def scenario(bench: Bench) -> None:
            async with MetadataService({**PAGES, "meta-data/iam/security-credentials/role": answer}) as url:
                with pytest.raises(NoCredentialsError, match="give the instance a role"):
                    await bench.start(**self.environment(url))

        play(tmp_path, scenario)
