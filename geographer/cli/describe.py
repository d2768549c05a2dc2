"""describe: record, or show, what the authors say of the dataset."""

import sys
from typing import Any, Final

import click
import msgspec

from geographer.cli import options, output
from geographer.cli.attributes import format_value
from geographer.cli.requests import make_request_command
from geographer.operations.describe import DescribeDataset, parse_creators

QUESTIONS: Final = {
    "title": "Title",
    "creators": "Creators, separated by ';', each as NAME <ORCID> (AFFILIATION)",
    "licence": "Licence, as an SPDX identifier or a URL",
    "intent": "What was it made for, and what is it not fit for?",
    "ethics": "What does it say of people, and what harm could its use do?",
}


def _describe_dataset(dataset: Any, request: DescribeDataset, *, as_json: bool) -> None:
    if request.list_recorded_parameters():
        output.print_result(dataset.run(request), as_json=as_json)
        return
    known = dataset.read_description()
    if not as_json and sys.stdin.isatty() and sys.stdout.isatty() and (answers := ask_questions(known)):
        output.print_result(dataset.run(msgspec.structs.replace(request, **answers)), as_json=False)
        return
    attributes = dataset.read_attributes()
    if as_json:
        output.print_json_line(known | ({"attributes": attributes} if attributes else {}))
    else:
        names = sorted(known, key=[*QUESTIONS, *known].index)
        rows = [(name, _format_value(known[name])) for name in names]
        rows += [(f"attribute {name}", format_value(value)) for name, value in attributes.items()]
        output.print_table(("field", "value"), rows)
        if missing := ", ".join(name for name in QUESTIONS if name not in known):
            click.echo(f"Not described: {missing}. Releases use what the log gives, if it can.")


def ask_questions(known: Any) -> dict[str, Any]:
    """Ask the terminal for what is not described yet; an empty answer leaves it so."""
    answers: dict[str, Any] = {}
    for name, question in QUESTIONS.items():
        if name not in known and (answer := click.prompt(question, default="", show_default=False).strip()):
            answers[name] = parse_creators(answer.split(";")) if name == "creators" else answer
    return answers


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


describe_command = make_request_command(
    "describe", DescribeDataset, run=_describe_dataset, open_dataset=options.open_changeable_dataset
)
