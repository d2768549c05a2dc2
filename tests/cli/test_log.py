"""log, show, tags, history, why and blame on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geographer import Dataset
from geographer.cli import main
from tests.cli.runner import read_rows, run_command
from tests.sample_history import HEAD, SampleHistory


@pytest.fixture(scope="module")
def sample_root(sample_history: SampleHistory) -> Path:
    """The folder of the sample history, which these commands only read."""
    return sample_history.root


def test_log_takes_a_number_as_git_does(sample_root: Path) -> None:
    lines = run_command(sample_root, "log", "-3").splitlines()
    assert lines == run_command(sample_root, "log", "-n", "3").splitlines()
    assert [line.split()[0] for line in lines] == [f"@{HEAD - number}" for number in range(3)]


def test_log_prints_one_line_an_event(sample_root: Path) -> None:
    events = Dataset.open(sample_root).log()
    lines = run_command(sample_root, "log", "--oneline").splitlines()
    assert lines == [
        f"{event.digest[:12]} {event.kind}{f': {event.message}' if event.message else ''}" for event in reversed(events)
    ]


def test_show_defaults_to_head_and_names_tags(sample_root: Path) -> None:
    (head,) = read_rows(sample_root, "show")
    assert (head["position"], head["tags"]) == (HEAD, [])
    (tagged,) = read_rows(sample_root, "show", "v1")
    assert tagged["tags"] == ["v1"]
    assert run_command(sample_root, "show", "v1").splitlines()[-1].split() == ["tags", "v1"]


def test_tags_have_date_author_and_message(sample_root: Path) -> None:
    rows = read_rows(sample_root, "tags")
    assert [(row["tag"], row["author"], row["message"]) for row in rows] == [
        ("v1", "Ada", "as published"),
        ("v2", "Ada", ""),
    ]
    events = {event.position: event for event in Dataset.open(sample_root).log()}
    assert [row["recorded_at"][:19] for row in rows] == [
        events[at].recorded_at[:19].replace("T", " ") for at in (9, HEAD)
    ]
    assert "as published" in run_command(sample_root, "tags")


def test_history_prints_what_the_method_returns(sample_root: Path) -> None:
    rows = Dataset.open(sample_root).history("around/a_p1")
    assert read_rows(sample_root, "history", "around/a_p1") == json.loads(json.dumps(rows, default=str))
    header, *lines = run_command(sample_root, "history", "around/a_p1").splitlines()
    assert header.split()[:5] == ["position", "date", "kind", "object", "change"]
    assert len(lines) == len(rows)


def test_why_prints_sentences_or_facts(sample_root: Path) -> None:
    facts = Dataset.open(sample_root).explain_object("around/a_p2", at="HEAD~1")
    assert run_command(sample_root, "why", "around/a_p2", "--at", "HEAD~1").splitlines() == facts["sentences"]
    (printed,) = read_rows(sample_root, "why", "around/a_p2", "--at", "HEAD~1")
    assert printed == json.loads(json.dumps(facts, default=str))


def test_blame_prints_sentences_or_facts(sample_root: Path) -> None:
    facts = Dataset.open(sample_root).blame_pixel("mask", "around/a_q1", 6, 6)
    assert run_command(sample_root, "blame", "mask", "around/a_q1", "6", "6").splitlines() == facts["sentences"]
    (printed,) = read_rows(sample_root, "blame", "mask", "around/a_q1", "6", "6")
    assert printed == json.loads(json.dumps(facts, default=str))


def test_blame_takes_negative_numbers(sample_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (("-1", "0"), "which has 16 columns and 16 rows"),
        (("0", "-12", "--at", "HEAD"), "which has 16 columns and 16 rows"),
        (("-1.5", "0"), "'-1.5' is not a valid integer"),
        (("--column", "0"), "No such option"),
    ):
        with pytest.raises(SystemExit, match="2"):
            main(["-C", str(sample_root), "blame", "mask", "around/a_q1", *words])
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("blame", "mask", "around/a_q1", "16", "0"), 2),
        (("blame", "mask", "around/a_q1", "x", "0"), 2),
        (("blame", "mask", "nothing", "0", "0"), 3),
        (("why", "nothing"), 3),
        (("history", "recipe:nothing"), 3),
        (("log", "-0"), 2),
        (("show", "nothing"), 3),
    ],
)
def test_errors_have_their_exit_codes(sample_root: Path, words: tuple[str, ...], code: int) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main(["-C", str(sample_root), *words])
    assert exit_info.value.code == code
