"""`awsorch register`: task definitions from files into the registry."""

from __future__ import annotations

from typing import Any

import click
from botocore.exceptions import ClientError

from awsorch.cli.documents import Document, read_documents
from awsorch.cli.faults import Fault, describe_refusal
from awsorch.cli.printing import Printer
from awsorch.cli.session import Session, api_command


@click.command("register")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@api_command
def register(session: Session, printer: Printer, files: tuple[str, ...]) -> None:
    """Register the task definitions of files, JSON or YAML ("-" reads standard input).

    The shape is that of RegisterTaskDefinition; YAML files may hold several documents and comments. All files are
    read and checked before the first definition is sent. Prints family:revision of each.
    """
    documents = read_documents(list(files))
    registered = []
    for document in documents:
        answer = register_document(session, document)
        registered.append(answer)
        if not printer.as_json:
            click.echo(revision_of(answer))
    if printer.as_json:
        for answer in registered:
            printer.show_json(answer)


def register_document(session: Session, document: Document) -> dict[str, Any]:
    """Register one definition; a refusal names the file and line that it came from."""
    try:
        answer: dict[str, Any] = session.ecs.register_task_definition(**document.value)
    except ClientError as error:
        raise Fault(f"{document.file}:{document.line}: {describe_refusal(error.response['Error'])}") from None
    return answer


def revision_of(answer: dict[str, Any]) -> str:
    """`family:revision` of an answer about a task definition."""
    definition = answer["taskDefinition"]
    return f"{definition['family']}:{definition['revision']}"
