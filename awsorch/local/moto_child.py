"""moto's server as a child process of the local cloud: every AWS service that is not ECS.

It exists because moto may not share a process with the controller: its calls hold the interpreter for
hundreds of milliseconds and it keeps some 300 MiB. Three things are ours. The listening socket is ours,
because moto's own server hangs for ever when its port is taken. And RunInstances takes the ids of its
instances from the header `X-Awsorch-Instance-Ids`, which lets the fleet bring its instances back under the
ids they had: moto keeps everything in memory only, and ids are random. Load balancers are what a file says
(see `elb_memory`), and have ARNs that name their type; Auto Scaling groups do what they do in AWS (see
`moto_groups`); launches are refused on demand (see `moto_launch_faults`); EC2's events reach a queue (see
`moto_notices`). A call that moto has not built, or that breaks moto, is answered with what was raised in the
header `X-Awsorch-Fault` (moto's own answer is a page of HTML that says nothing); the door makes an AWS error
of it. Nothing here knows ECS, the fleet or the door; the supervisor sees to it that this process dies with its
own.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from awsorch.local import moto_objects, session_keys
from awsorch.local.elb_arns import name_types
from awsorch.local.moto_application_scaling import mend_targets
from awsorch.local.moto_ecr import mend_tokens
from awsorch.local.moto_groups import mend_groups
from awsorch.local.moto_groups_timer import GroupTimer
from awsorch.local.moto_interfaces import mend_interfaces
from awsorch.local.moto_launch_faults import LaunchFaults, mend_launches
from awsorch.local.moto_notices import NoticesQueue
from awsorch.local.moto_policies import mend_policies
from awsorch.local.moto_roles import mend_roles
from awsorch.local.moto_templates import mend_templates
from awsorch.local.notice import notifier

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

INSTANCE_IDS_HEADER = "X-Awsorch-Instance-Ids"
FAULT_HEADER = "X-Awsorch-Fault"
_INSTANCE_IDS_ENVIRON = "HTTP_X_AWSORCH_INSTANCE_IDS"
_INSTANCE_ID = re.compile(r"i-[0-9a-f]{17}")


class PortTaken(Exception):
    """Nothing can listen on the address asked for; the message says which and why."""


class WantedInstanceIds:
    """The ids that the RunInstances call on this thread is to use, in order; random ones when there are
    none left.
    """

    def __init__(self, random_instance_id: Callable[[], str]) -> None:
        self._random_instance_id = random_instance_id
        self._call = threading.local()

    def __call__(self) -> str:
        wanted: list[str] = getattr(self._call, "wanted", [])
        return wanted.pop(0) if wanted else self._random_instance_id()

    def is_asked(self) -> bool:
        """Whether the call on this thread wants ids."""
        return bool(getattr(self._call, "wanted", []))

    def around(self, application: WSGIApplication) -> WSGIApplication:
        """The application, with the ids in a request's header taken by the instances that this request
        runs.
        """

        def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
            header = str(environ.pop(_INSTANCE_IDS_ENVIRON, ""))
            self._call.wanted = _INSTANCE_ID.findall(header)
            try:
                return application(environ, start_response)
            finally:
                self._call.wanted = []

        return call


def name_faults(application: WSGIApplication) -> WSGIApplication:
    """The application, with what it raises named in an answer: 501 for what moto has not built, 500 for
    the rest.
    """

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        fault: Exception
        try:
            return application(environ, start_response)
        except NotImplementedError as error:
            status, fault = "501 Not Implemented", error
        except Exception as error:
            logging.getLogger(__name__).exception("%s %s", environ["REQUEST_METHOD"], environ["PATH_INFO"])
            status, fault = "500 Internal Server Error", error
        said = f"{type(fault).__name__}: {fault}".encode("ascii", "replace").decode("ascii")
        named = "".join(letter if letter.isprintable() else " " for letter in said)[:500]
        start_response(status, [(FAULT_HEADER, named), ("Content-Type", "text/plain"), ("Content-Length", "0")])
        return []

    return call


def build_application(memory: Path | None, notices: NoticesQueue | None) -> WSGIApplication:
    """moto's application for all services; RunInstances takes wanted ids from the header; what moto knew is back from
    the file, and kept in it; the queue of EC2's notices is there.

    Raises AttributeError where moto is no longer what this was written for: better no local cloud than one whose
    instances change their ids.
    """
    from moto.ec2.models import instances
    from moto.moto_server.werkzeug_app import (
        DomainDispatcherApplication,
        create_backend_app,
    )

    wanted = WantedInstanceIds(instances.random_instance_id)
    instances.random_instance_id = wanted
    name_types()
    mend_templates()
    mend_interfaces()
    mend_tokens()
    mend_targets()
    mend_policies()
    mend_roles(os.environ.get(session_keys.VARIABLE, ""))
    faults = LaunchFaults(spared=wanted.is_asked)
    mend_launches(faults)
    groups = mend_groups(notifier(os.environ) or (lambda: None))
    if notices is not None:
        notices.make()
    application = groups.around(wanted.around(DomainDispatcherApplication(create_backend_app)))
    if memory is not None:
        application = _remember(memory, groups, application)
    groups.start()
    return name_faults(faults.around(application))


def _remember(file: Path, groups: GroupTimer, application: WSGIApplication) -> WSGIApplication:
    # Imported here because it brings moto along, and others only want to know this module's names.
    from awsorch.local.moto_memory import MotoMemory

    moto_objects.note_given()
    memory = MotoMemory(file, groups.turn)
    memory.restore()
    groups.alone = memory.after(groups.mind)
    return memory.around(application, spares=lambda environ: _INSTANCE_IDS_ENVIRON in environ)


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises PortTaken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise PortTaken(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def serve(listener: socket.socket, memory: Path | None, notices: NoticesQueue | None) -> None:
    """Answer requests on the socket until SIGTERM or SIGINT."""
    from moto.moto_server.werkzeug_app import MotoRequestHandler
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    host, port = listener.getsockname()[:2]
    server = make_server(
        host,
        port,
        build_application(memory, notices),
        threaded=True,
        request_handler=MotoRequestHandler,
        fd=listener.fileno(),
    )

    def stop(_signal: int, _frame: Any) -> None:
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.serve_forever(poll_interval=0.2)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line; 1 where the port is taken."""
    parser = argparse.ArgumentParser(prog="python -m awsorch.local.moto_child", description="moto's server")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one, which is printed")
    parser.add_argument("--fd", type=int, help="a listening socket inherited from the parent, instead of host and port")
    parser.add_argument("--memory", type=Path, metavar="FILE", help="keep what moto knows in this file")
    parser.add_argument("--notices", nargs=2, metavar=("ACCOUNT", "REGION"), help="have a queue of EC2's notices")
    options = parser.parse_args(arguments)
    try:
        listener = socket.socket(fileno=options.fd) if options.fd else listen(options.host, options.port)
    except PortTaken as refusal:
        print(refusal, file=sys.stderr)
        return 1
    print(f"moto listens on {listener.getsockname()[0]}:{listener.getsockname()[1]}", flush=True)
    notices = NoticesQueue(account_id=options.notices[0], region=options.notices[1]) if options.notices else None
    serve(listener, options.memory, notices)
    return 0


if __name__ == "__main__":
    sys.exit(main())
