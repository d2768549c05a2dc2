"""The questions of `describe`: asked once for what is not described; an empty answer leaves it so."""

import json

import click
from click.testing import CliRunner

from geographer import Dataset
from geographer.cli import geographer_command
from geographer.cli.describe import QUESTIONS, ask_questions


def test_questions_ask_for_what_is_missing():
    @click.command()
    def ask_command():
        click.echo(json.dumps(ask_questions({"title": "Ponds", "licence": "CC0-1.0"})))

    result = CliRunner().invoke(ask_command, input="Ada Lovelace;Bob\nCounting ponds\n\n")
    shown, _, answers = result.stdout.rpartition("\n{")
    assert json.loads("{" + answers) == {"creators": ["Ada Lovelace", "Bob"], "intent": "Counting ponds"}
    assert all((question in shown) == (name not in ("title", "licence")) for name, question in QUESTIONS.items())


def test_describe_shows_what_is_known(tmp_path):
    dataset = Dataset.init(tmp_path / "dataset", scm=False)
    dataset.describe(title="Ponds", creators=["Ada"])
    run = CliRunner().invoke(geographer_command, ["-C", str(dataset.root), "describe"])
    assert "Ponds" in run.stdout
    assert "Not described: licence, intent, ethics." in run.stdout
    run = CliRunner().invoke(geographer_command, ["-C", str(dataset.root), "describe", "--json"])
    assert json.loads(run.stdout) == {"title": "Ponds", "creators": [{"name": "Ada"}]}
