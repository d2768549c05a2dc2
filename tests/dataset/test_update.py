"""Updates: the error of a recipe names what was recorded before it, and what was not run."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

from geographer.base.errors import ConflictError, PluginError
from geographer.dataset import update
from geographer.operations.cut.grid import CutGrid
from geographer.storage.events import ChangeResult, Head

RECIPES = [CutGrid(name, size=8) for name in ("same", "chips", "tiles", "parts", "later", "last")]


class RecordedRuns:
    """Replaces the unit of work: each recipe changes the dataset but `same`; `tiles` has no plugin, `parts` fails."""

    def __init__(self, error: Exception) -> None:
        self.error, self.head = error, 6

    def open_revision(self) -> Any:
        return nullcontext()

    def read_head(self) -> Head:
        return Head(self.head, "ab" * 32)

    def run_request(self, request: Any) -> ChangeResult:
        if request.name == "tiles":
            raise PluginError("no such cutter")
        if request.name == "parts":
            raise self.error
        self.head += request.name != "same"
        summary = {"recipe": {"name": request.name}}
        return ChangeResult(self.head, "ab" * 32, "chips_cut", summary, changed=request.name != "same")


def run_update(monkeypatch: pytest.MonkeyPatch, *names: str) -> str:
    """Return the message of the update that fails at `parts`."""
    monkeypatch.setattr(update, "list_recipes", lambda _: [recipe for recipe in RECIPES if recipe.name in names])
    work: Any = RecordedRuns(ConflictError("the split would leak."))
    with pytest.raises(ConflictError) as raised:
        list(update.iter_updates(work, update.Update()))
    return str(raised.value)


def test_failed_update_names_recorded_events(monkeypatch: pytest.MonkeyPatch) -> None:
    message = run_update(monkeypatch, *(recipe.name for recipe in RECIPES))
    recorded = "Recorded before: @7 chips_cut 'chips'. Not run: 'later', 'last'."
    assert message == f"recipe 'parts': the split would leak. {recorded}"


def test_failed_update_without_events_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    message = run_update(monkeypatch, "same", "parts")
    assert message == "recipe 'parts': the split would leak. This update recorded nothing."
