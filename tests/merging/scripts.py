"""Short fixed histories, each of which reaches one rule of the merge; a machine runs them and compares them with the model."""

from __future__ import annotations

from typing import Any, Final

from tests.merging.steps import Step


def _make_feature(column: int, row: int, name: str = "lake", note: str | None = None, class_: str = "pond") -> Any:
    return {"class": class_, "box": [column, row, 2, 2], "name": name, "note": note}


def _replace(clone: str, feature: str, column: int, row: int, **columns: Any) -> Step:
    return Step(clone, "replace_features", {"features": {feature: _make_feature(column, row, **columns)}})


def _add(clone: str, feature: str, column: int, row: int, **columns: Any) -> Step:
    return Step(clone, "add_features", {"features": {feature: _make_feature(column, row, **columns)}})


def _merge(clone: str, revision: str = "origin/main", take: str = "list") -> Step:
    return Step(clone, "merge", {"revision": revision, "on_conflict": take})


def _run(clone: str, command: str, **arguments: Any) -> Step:
    return Step(clone, command, arguments)


def _exchange(*last: Step) -> list[Step]:
    """Publish what A did, and merge it into B."""
    return [_run("A", "push"), _run("B", "fetch"), _merge("B"), *last]


SCRIPTS: Final[dict[str, list[Step]]] = {
    "columns": [
        _replace("A", "f0", 3, 3, note="new"),
        _replace("A", "f1", 27, 9, name="lake", note="old", class_="quarry"),
        _replace("B", "f0", 5, 3),
        *_exchange(),
    ],
    "removal": [
        _run("A", "remove_features", ids=["f0"]),
        _run("A", "remove_rasters", ids=["grid/c_c0_r0", "b"]),
        _replace("B", "f0", 3, 3, note="new"),
        _run("B", "remove_rasters", ids=["grid/c_c16_r0"]),
        *_exchange(),
    ],
    "classes": [
        _run("A", "add_class", name="peat"),
        _run("B", "add_class", name="moss"),
        *_exchange(),
    ],
    "criss-cross": [
        _run("A", "create_branch", name="topic"),
        _replace("A", "f0", 3, 3, note="old"),
        _run("A", "create_branch", name="survey"),
        _run("A", "switch", name="topic"),
        _replace("A", "f0", 3, 3, note="new"),
        _run("A", "create_branch", name="review"),
        _merge("A", "survey", "ours"),
        _run("A", "switch", name="main"),
        _merge("A", "review", "ours"),
        _merge("A", "topic"),
    ],
    "order": [
        _run("A", "create_branch", name="topic"),
        _add("A", "f5", 12, 12),
        _run("A", "switch", name="topic"),
        _add("A", "f7", 14, 14),
        _merge("A", "main"),
    ],
    "tags": [_run("A", "tag", name="v1"), _run("B", "tag", name="v2"), *_exchange()],
    "split": [
        _run("A", "add_rasters", contents={"d": 1}),
        _run("A", "update"),
        _run("B", "add_rasters", contents={"e": 1}),
        _run("B", "update"),
        *_exchange(),
    ],
    "labels": [
        _replace("A", "f0", 4, 4, class_="quarry"),
        _run("A", "update"),
        _add("B", "f9", 4, 5, class_="reed"),
        _run("B", "update"),
        *_exchange(),
    ],
    "outdated labels": [
        _run("B", "run_recipe", name="instances", variant=0, replace=False),
        _add("A", "f9", 4, 5, class_="reed"),
        *_exchange(_run("B", "push"), _run("A", "add_class", name="moss"), _run("A", "fetch"), _merge("A")),
    ],
    "recipes": [
        _run("A", "run_recipe", name="grid", variant=1, replace=True),
        _run("A", "run_recipe", name="parts", variant=1, replace=True),
        _run("B", "add_class", name="moss"),
        *_exchange(),
    ],
    "published": [_run("A", "add_class", name="moss"), _run("B", "add_class", name="moss"), *_exchange()],
}
"""The steps by name. At the end, the last clone decides its conflicts, and what it has after `update` is checked."""
MIRRORED: Final = ("order", "labels", "outdated labels")
"""The scripts whose merges are made from either side, too."""
