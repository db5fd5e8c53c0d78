"""Volumes of EFS: how they are mounted, and what an instance can't mount."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from awsorch.agent import plan
from awsorch.agent.efs import NFS_OPTIONS, make_folder
from awsorch.agent.engine import VolumeArguments
from awsorch.agent.environment import Placement
from awsorch.agent.settings import InstanceSettings
from awsorch.wire import acs
from tests.agent.tasks import a_container, a_task
from tests.agent.worlds import PLACE

ROLE = acs.IAMRoleCredentials(credentials_id="c1", role_arn="arn:r")
WHOLE = acs.EFSVolume(
    file_system_id="fs-1",
    root_directory="/",
    transit_encryption="ENABLED",
    transit_encryption_port=2049,
    authorization_config=acs.EFSAuthorization(access_point_id="fsap-2", iam="ENABLED"),
)
PLAIN = acs.EFSVolume(file_system_id="fs-1", root_directory="/a/../b")


def a_task_with(config: acs.EFSVolume) -> acs.Task:
    app = a_container(mount_points=(acs.MountPoint(source_volume="v", container_path="/data"),))
    return a_task(
        app,
        volumes=(acs.Volume(name="v", type="efs", efs_volume_configuration=config),),
        role_credentials=ROLE,
    )


def mounted(config: acs.EFSVolume, place: Placement) -> VolumeArguments:
    task = a_task_with(config)
    names = plan.names_for(task, lambda: "0f")
    ((arguments, may_create),) = plan.volumes_for(task, task.containers[0], names, place)
    assert may_create
    assert plan.task_volumes(task, names) == [arguments.name], "it goes with the task; the files stay"
    return arguments


def test_as_plain_nfs() -> None:
    arguments = mounted(PLAIN, PLACE)
    wanted = {"type": "nfs", "device": ":/b", "o": f"addr=fs-1.efs.us-east-1.amazonaws.com,{NFS_OPTIONS}"}
    assert (arguments.driver, dict(arguments.options)) == ("local", wanted)


def test_by_the_plugin() -> None:
    arguments = mounted(WHOLE, dataclasses.replace(PLACE, has_efs_plugin=True))
    assert arguments.driver == "amazon-ecs-volume-plugin"
    assert dict(arguments.options) == {
        "type": "efs",
        "device": "fs-1:/",
        "o": "tls,tlsport=2049,iam,awscredsuri=/v2/credentials/c1,accesspoint=fsap-2",
    }


@pytest.mark.parametrize(
    ("config", "folder"), [(PLAIN, "fs-1/b"), (WHOLE, "fs-1/fsap-2"), (acs.EFSVolume(file_system_id="fs-1"), "fs-1")]
)
def test_by_a_folder_that_stands_in(tmp_path: Path, config: acs.EFSVolume, folder: str) -> None:
    place = dataclasses.replace(PLACE, efs_folder=str(tmp_path))
    arguments = mounted(config, place)
    make_folder(arguments, place)
    assert dict(arguments.options) == {"type": "none", "o": "bind", "device": str(tmp_path / folder)}
    assert (tmp_path / folder).is_dir()


def test_a_root_directory_does_not_lead_out_of_its_file_system(tmp_path: Path) -> None:
    sly = acs.EFSVolume(file_system_id="fs-1", root_directory="/../../etc")
    device = mounted(sly, dataclasses.replace(PLACE, efs_folder=str(tmp_path))).options["device"]
    assert device == str(tmp_path / "fs-1" / "etc")


def test_what_plain_nfs_cannot_do_is_refused() -> None:
    with pytest.raises(plan.UnsupportedTaskError, match="the volume v: encryption in transit, access points and IAM"):
        plan.check(a_task_with(WHOLE))
    plan.check(a_task_with(PLAIN))
    plan.check(a_task_with(WHOLE), InstanceSettings(volume_plugin_capabilities=("efsAuth",)))
    plan.check(a_task_with(WHOLE), InstanceSettings(efs_folder="/efs"))
