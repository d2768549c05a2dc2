"""Steps: how chips, labels and splits were made: recipes with all parameters and seeds, outside steps, software."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

from geographer.outputs.pages.report.report_table import Column, ReportTable, make_table
from geographer.outputs.release.facts import EventFacts, ReleaseFacts

_SHORT_DIGEST: Final = 12


class Steps(NamedTuple):
    """The recipes in the order of their creation, outside steps, and the versions of software."""

    recipes: ReportTable
    commands: ReportTable
    software: ReportTable


def describe_steps(facts: ReleaseFacts) -> Steps:
    """Return how the files of the revision were made."""
    makers = {event.recipe["name"]: event for event in facts.events if event.recipe}
    rows = [_describe_recipe(name, kind, parameters, makers.get(name)) for name, kind, parameters in facts.recipes]
    columns = [Column("Recipe"), Column("Kind"), Column("Parameters"), Column("Seed", "number"), Column("Last made by")]
    commands = [_describe_command(event) for event in facts.events if event.command]
    names = [Column("Event"), Column("Command", "code"), Column("Code", "code"), Column("Made"), Column("By")]
    software = [(name, ", ".join(versions)) for name, versions in facts.software_versions.items()]
    return Steps(
        make_table("Recipes: each step with its parameters", columns, rows, "geographer status"),
        make_table("Outside steps, run by geographer run", names, commands, "geographer log"),
        make_table("Versions of software that made rows and files", [Column("Software"), Column("Versions")], software),
    )


def _describe_recipe(
    name: str, kind: str, parameters: Mapping[str, Any], event: EventFacts | None
) -> tuple[str, str, str, str | None, str]:
    shown = {key: value for key, value in parameters.items() if key != "seed" and value is not None}
    text = "; ".join(f"{key.replace('_', ' ')} {_format_value(value)}" for key, value in sorted(shown.items()))
    seed = parameters.get("seed")
    maker = f"{event.short_title}, {event.recorded_at[:10]}, {event.author}" if event else "not known"
    return name, kind, text, None if seed is None else str(seed), maker


def _format_value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def _describe_command(event: EventFacts) -> tuple[str, str, str, str, str]:
    command = event.command or {}
    words = " ".join(map(str, command.get("words") or ["(not recorded)"]))
    made = f"labels '{command['label']}'" if command.get("label") else f"collection '{command.get('collection')}'"
    return event.short_title, words, str(command.get("commit") or "not recorded")[:_SHORT_DIGEST], made, event.author


def list_plugins(parameters: Mapping[str, Any]) -> Iterator[str]:
    """Yield the plugins that a recipe's parameters name: objects of a name and a version."""
    for value in parameters.values():
        if isinstance(value, Mapping) and "version" in value:
            yield from (str(name) for key, name in value.items() if key != "version")
