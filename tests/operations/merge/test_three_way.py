"""The pure parts of a merge: columns, choices with several bases, distinct class values, common events."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geographer.base.errors import ConflictError
from geographer.operations.merge.classes import make_distinct
from geographer.operations.merge.columns import join_row, split_columns, split_row
from geographer.operations.merge.contested import split_version
from geographer.operations.merge.sides import count_common_events
from geographer.operations.merge.three_way import Contest, choose_value, merge_columns
from geographer.operations.merge.user_columns import plan_columns

VALUES = st.sampled_from([None, "1", "2", "3"])


@given(bases=st.lists(VALUES, min_size=1, max_size=3), ours=VALUES, theirs=VALUES)
def test_choice_never_loses_an_edit(bases, ours, theirs):
    """A change of one side counts; a conflict needs two, or bases that differ; both sides agree on what is one."""
    value, is_conflict = choose_value(bases, ours, theirs, "ours")
    other, is_other_conflict = choose_value(bases, theirs, ours, "theirs")
    assert (value, is_conflict) == (other, is_other_conflict)
    changed = {side for side in (ours, theirs) if {side} != {*bases}}
    assert is_conflict == (ours != theirs and len(changed) == 2) or ours == theirs
    assert value in (ours, theirs)
    if not is_conflict and len(changed) == 1:
        assert value == changed.pop()


def test_columns_of_one_object_are_merged():
    base = {"class": '"pond"', "geometry": "1", "properties.depth": "1"}
    ours = {**base, "geometry": "2", "properties.note": '"a"'}
    theirs = {"class": '"reed"', "geometry": "1"}
    merged = merge_columns(Contest("feature", "p", [base], ours, theirs))
    assert merged.columns == {"class": '"reed"', "geometry": "2", "properties.note": '"a"'}
    assert merged.conflicts == ()


@pytest.mark.parametrize(("take", "expected"), [("ours", None), ("theirs", {"class": '"reed"'})])
def test_removed_and_edited_object_is_conflict(take, expected):
    merged = merge_columns(Contest("feature", "p", [{"class": '"pond"'}], None, {"class": '"reed"'}), take)
    (conflict,) = merged.conflicts
    assert merged.columns == expected
    assert (conflict.column, conflict.ours, split_columns(conflict.theirs)) == (None, None, {"class": '"reed"'})
    assert conflict.format_text() == "feature 'p' was removed here and changed there"


def test_rows_are_split_and_joined():
    row = {"id_is_integer": False, "class": "pond", "geometry": b"\x01\x02", "crs": "EPSG:4326"}
    row["properties"] = '{ "depth": 1.50, "name": "ä", "none": null }'
    columns = split_row("feature_change", row)
    assert columns["properties.depth"] == "1.50"
    assert "properties.none" not in columns
    assert join_row("feature_change", columns, (row,)) == row
    other = join_row("feature_change", {**columns, "properties.depth": "2"}, (row,))
    assert other["properties"] == '{"depth":2,"name":"ä"}'


@pytest.mark.parametrize("properties", ["{", "[1]", '"text"'])
def test_rows_with_unreadable_properties_are_named(properties):
    row = {"id_is_integer": False, "class": "pond", "geometry": b"", "crs": "EPSG:4326", "properties": properties}
    with pytest.raises(ConflictError, match=r"feature 'p1' was changed on both sides.*geographer remove unreadable"):
        split_version("feature_change", "p1", row)


def test_later_class_gets_next_free_value():
    values = {"water": 0, "pond": 1, "reed": 2, "moss": 2, "peat": 2}
    created = {"reed": (5, "b"), "moss": (5, "a"), "peat": (6, "a")}
    assert make_distinct(values, created, [7]) == ["peat", "reed"]
    assert values == {"water": 0, "pond": 1, "reed": 8, "moss": 2, "peat": 9}


@given(shared=st.integers(0, 6), lengths=st.lists(st.integers(0, 5), min_size=1, max_size=4))
def test_common_events_are_counted(shared, lengths):
    chains = [
        [f"s{i}" for i in range(shared)] + [f"{n}-{i}" for i in range(length)] for n, length in enumerate(lengths)
    ]
    assert count_common_events(chains) == (shared if len(chains) > 1 else shared + lengths[0])


def test_columns_are_declared_with_rows_and_dropped_to_narrow():
    before, after = {"a": "BIGINT", "b": "DOUBLE", "c": "VARCHAR"}, {"a": "BIGINT", "b": "BIGINT"}
    assert plan_columns(before, after, has_rows=True) == ({"a": "BIGINT", "b": "BIGINT"}, ["b", "c"])
    assert plan_columns(before, after, has_rows=False) == ({"b": "BIGINT"}, ["b", "c"])
