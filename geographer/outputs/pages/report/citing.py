"""Citing: how to cite the revision, and the commands with which a reader checks it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from geographer.base.text import quote_shell_word
from geographer.outputs.release.citation import format_reference, write_bibtex
from geographer.outputs.release.facts import ReleaseFacts


class CopiedText(NamedTuple):
    """A text that a button copies: its id on the page, what it is, and the text."""

    anchor: str
    title: str
    text: str


class Citing(NamedTuple):
    """How to cite, and how to check."""

    citations: list[CopiedText]
    commands: list[CopiedText]


def describe_citing(
    facts: ReleaseFacts, certified: Sequence[tuple[str, Sequence[str]]], options: Sequence[str] = ()
) -> Citing:
    """Return the reference, the BibTeX entry, and the commands with the digests of the revision.

    Args:
        facts: The facts of the revision.
        certified: The splits that were certified, each with the options of `certify` that say how.
        options: The options of `report` with which this page was made.
    """
    citations = [
        CopiedText("reference", "Reference", format_reference(facts)),
        CopiedText("bibtex", "BibTeX", write_bibtex(facts).rstrip("\n")),
    ]
    is_tag = facts.tag.name[:1] != "@"
    # A command would read a tag that begins with '-' as an option.
    name = facts.tag.name if is_tag and facts.tag.name[:1] != "-" else facts.tag.digest
    commands = [
        ("Get the dataset, if its authors published it at URL", ["geographer", "clone", "URL", "dataset"]),
        ("Compare the log, the files and the event digest", ["verify", name, "--expect", facts.tag.digest]),
        ("Compare the content digest, too", ["verify", name, "--expect", facts.tag.content_digest]),
        *(
            (
                f"Compute the leakage certificate of split '{split}' again, and look at pixels, too",
                ["certify", name, "--split", split, *how, "--duplicates"],
            )
            for split, how in certified
        ),
        ("Make chips and labels again, and compare them", ["rerun", name]),
        *([("Say whose signature the tag has", ["verify", name, "--signature", "allowed_signers"])] if is_tag else []),
        ("Make this page again; equal datasets give equal pages", ["report", name, "--html", "report.html", *options]),
    ]
    texts = [words if words[0] == "geographer" else ["geographer", "-C", "dataset", *words] for _, words in commands]
    titles = [title for title, _ in commands]
    return Citing(
        citations,
        [
            CopiedText(f"command-{number}", title, " ".join(map(quote_shell_word, words)))
            for number, (title, words) in enumerate(zip(titles, texts, strict=True), 1)
        ],
    )
