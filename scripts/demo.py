"""The demo: a cloud of two instances on this machine, real containers, faults and all, in little more than a minute.

It shows what a newcomer wants to see work and checks everything that it shows: the exit code is 0 only when all was as
it should be. It has a data folder and a port of its own, so it disturbs no cloud that runs already, and it leaves
nothing behind. Most of it goes through the `awsorch` command, one part through plain boto3, as any program would.
"""

from __future__ import annotations

import os
import signal
import sys
import time

from demo_capacity import CAPACITY_SCENES
from demo_services import SERVICE_SCENES
from demo_stage import (
    IMAGE,
    INSTANCES,
    LONG_SECONDS,
    Cloud,
    answers,
    connected,
    containers_of,
    exit_codes,
    expect,
    fetch,
    play,
    runtime_ids,
    show,
    title,
    until,
)

FAILING = {
    "family": "failing",
    "containerDefinitions": [
        {
            "name": "failing",
            "image": IMAGE,
            "memory": 32,
            "command": ["sh", "-c", "echo 'this will not do'; exit 3"],
        }
    ],
}
HUGE = """\
family: huge
containerDefinitions:
  - name: huge
    image: awsorch/busybox:latest
    memory: 1000000   # MiB: more than any instance here has
"""


def start_cloud(cloud: Cloud) -> None:
    title("A cloud of two instances")
    data, port = str(cloud.data), str(cloud.port)
    cloud.awsorch("up", "--detach", "--instances", str(INSTANCES), "--port", port, "--data", data)
    listed = cloud.awsorch("instances").stdout.splitlines()[1:]
    expect(sum(" connected " in line for line in listed) == INSTANCES, "both instances have a connected agent")


def run_batch(cloud: Cloud) -> None:
    title("A batch task that does its work")
    done = cloud.awsorch("run", "taskdefs/batch.yaml", "--wait", "--env", "SLICE=7")
    expect("slice 7: the sum is" in done.stdout, "it prints its result")
    logs = cloud.awsorch("logs", cloud.tasks[-1][:8], "--tail", "1").stdout
    expect("the sum is 200010000" in logs, "its logs can be read afterwards")
    expect(exit_codes(cloud.describe(cloud.tasks[-1])) == {"sums": 0}, "DescribeTasks says that it exited with 0")


def run_failing(cloud: Cloud) -> None:
    title("A task that fails, with boto3")
    show("ecs.register_task_definition(…); ecs.run_task(…); ecs.get_waiter('tasks_stopped').wait(…)", style="bold")
    registered = cloud.ecs.register_task_definition(**FAILING)["taskDefinition"]
    answer = cloud.ecs.run_task(taskDefinition=registered["taskDefinitionArn"])
    expect(len(answer["tasks"]) == 1, "RunTask starts it")
    arn = answer["tasks"][0]["taskArn"]
    cloud.tasks.append(arn.rpartition("/")[2])
    waiter = cloud.ecs.get_waiter("tasks_stopped")
    waiter.wait(tasks=[arn], WaiterConfig={"Delay": 1, "MaxAttempts": int(LONG_SECONDS)})
    task = cloud.describe(arn)
    show(f"exit codes {exit_codes(task)}, {task.get('stopCode')}: {task.get('stoppedReason')}")
    expect(exit_codes(task) == {"failing": 3}, "it exited with 3")
    expect(task["stopCode"] == "EssentialContainerExited", "the stop code says why")
    expect(task["stoppedReason"] == "Essential container in task exited", "and so does the reason")


def serve_web(cloud: Cloud) -> None:
    title("Two containers: a writer, then, once it is HEALTHY, a web server on their shared volume")
    cloud.awsorch("run", "taskdefs/web.yaml")
    task = cloud.tasks[-1]
    until("it is RUNNING", lambda: cloud.describe(task)["lastStatus"] == "RUNNING")
    cloud.awsorch("ps")
    fetched = fetch(cloud.describe(task))
    show(fetched)
    expect("It works" in fetched, "the page is served on the published port")


def refuse_huge(cloud: Cloud) -> None:
    title("A task that is too large for every instance")
    definition = cloud.data / "huge.yaml"
    definition.write_text(HUGE)
    refused = cloud.awsorch("run", str(definition), code=1)
    expect(refused.stderr.count("RESOURCE:MEMORY") == INSTANCES, "every instance refuses it, and the reason is shown")


def kill_controller(cloud: Cloud) -> None:
    title("The controller is killed with -9 while the web task runs")
    task = cloud.tasks[-1]
    before, process = cloud.describe(task), cloud.controller()
    expect(process is not None, "the controller's process id is known")
    os.kill(process or 0, signal.SIGKILL)
    killed_at = time.monotonic()
    expect("It works" in fetch(before), "without a controller the page is served all the same")
    until("a controller is back", lambda: cloud.controller() not in (None, process) and answers(cloud))
    show(f"killed process {process}; process {cloud.controller()} answers {time.monotonic() - killed_at:.1f} s later")
    after = cloud.describe(task)
    expect(after["lastStatus"] == "RUNNING", "it knows that the task runs")
    expect(runtime_ids(after) == runtime_ids(before), "the containers are the same ones: nothing was started twice")
    expect(len(containers_of([task])) == len(runtime_ids(after)), "and the engine has no others of this task")
    until("the agents are back", lambda: connected(cloud) == INSTANCES)
    cloud.awsorch("story", task[:8])


def stop_web(cloud: Cloud) -> None:
    title("The web task is stopped, properly")
    task = cloud.tasks[-1]
    cloud.awsorch("stop", task[:8], "--reason", "the demo is over")
    until("it is STOPPED", lambda: cloud.describe(task)["lastStatus"] == "STOPPED")
    stopped = cloud.describe(task)
    expect(stopped["stoppedReason"] == "the demo is over", "the reason is kept")
    expect(exit_codes(stopped)["writer"] == 0, "the writer was asked to end, and ended by itself")
    cloud.awsorch("ps", "--all")


def stop_cloud(cloud: Cloud) -> None:
    title("And the cloud, too")
    cloud.awsorch("down", "--data", str(cloud.data))
    expect(not answers(cloud), "nothing listens any more")
    expect(not any(one.status == "running" for one in containers_of(cloud.tasks)), "and no container runs on")


SCENES = (
    start_cloud,
    run_batch,
    run_failing,
    serve_web,
    refuse_huge,
    kill_controller,
    stop_web,
    *SERVICE_SCENES,
    *CAPACITY_SCENES,
    stop_cloud,
)


if __name__ == "__main__":
    sys.exit(play(SCENES))
