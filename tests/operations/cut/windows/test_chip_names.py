"""Test that names of chips are safe, readable and unique."""

import hashlib
import re
from itertools import product
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from geographer.base.values import Window
from geographer.operations.cut.windows.chip_names import (
    make_feature_chip_name,
    make_grid_chip_name,
    make_names_distinct,
)
from geographer.operations.cut.windows.chips import Chip

ids = st.text(alphabet="aA_-.~%5F é/\\:\0", min_size=1, max_size=6) | st.text(min_size=1, max_size=8)
grid_cells = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))


def parse_name(stem):
    """Parse the ids and the grid cell from a chip's name by the rule in `make_feature_chip_name`."""
    stem, _, suffix = stem.partition("~")
    grid_cell = tuple(map(int, suffix.split("-"))) if suffix else None
    odd = [run for run in re.finditer("_+", stem) if len(run[0]) % 2][-1]
    return unquote(stem[: odd.start()]), unquote(stem[odd.start() + 1 :].replace("__", "_")), grid_cell


@given(ids, ids, grid_cells)
def test_feature_chip_name_is_safe_and_parseable(parent, feature, grid_cell):
    stem = make_feature_chip_name(parent, feature, grid_cell)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*(~\d+-\d+)?", stem)
    assert parse_name(stem) == (parent, feature, grid_cell)


@given(ids, st.integers(), st.integers())
def test_grid_chip_name_is_safe_and_parseable(parent, col, row):
    stem = make_grid_chip_name(parent, col, row)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*", stem)
    left, c, r = stem.rsplit("_", 2)
    assert (unquote(left), c, r) == (parent, f"c{col}", f"r{row}")


def test_ids_with_underscores_have_unique_names():
    ids = ["".join(letters) for size in range(1, 5) for letters in product("a_", repeat=size)]
    assert len({make_feature_chip_name(*pair) for pair in product(ids, ids)}) == len(ids) ** 2


def test_ordinary_ids_stay_readable():
    assert make_feature_chip_name("rmnp-rgb", "G239") == "rmnp-rgb_G239"
    assert make_feature_chip_name("rmnp-rgb", "G239", (1, 0)) == "rmnp-rgb_G239~1-0"
    assert make_feature_chip_name("S2A_T33UUP.v1", "stadium_12") == "S2A_T33UUP.v1_stadium__12"
    assert make_feature_chip_name(".x_", "-5~") == "%2Ex%5F_-5%7E"
    assert make_grid_chip_name("rmnp-rgb", 0, 256) == "rmnp-rgb_c0_r256"


@given(st.text(min_size=90, max_size=210), st.text(min_size=90, max_size=210), st.sampled_from("b_é"))
def test_long_names_are_short_and_unique(parent, feature, letter):
    stems = [
        make_feature_chip_name(parent, feature),
        make_feature_chip_name(parent, feature + letter),
        make_feature_chip_name(parent + letter, feature),
    ]
    assert len(set(stems)) == 3
    for stem in stems:
        assert len(stem) <= 200
        assert re.fullmatch(r"[A-Za-z0-9._%-]+(~[0-9a-f]{32})?", stem)


def test_only_long_names_are_truncated():
    assert make_feature_chip_name("a" * 100, "b" * 99) == "a" * 100 + "_" + "b" * 99
    name = make_feature_chip_name("a" * 100, "b" * 100)
    assert name[:167] == "a" * 100 + "_" + "b" * 66
    assert (len(name), name[167]) == (200, "~")
    assert len(make_grid_chip_name("a" * 300, 0, 0)) == 200
    assert make_grid_chip_name("a" * 300, 0, 0) != make_grid_chip_name("a" * 300, 0, 1)


def distinguish(names, known_names=()):
    chips = [Chip(name, "r", None, Window(0, 0, 1, 1)) for name in names]
    return [chip.name for chip in make_names_distinct(chips, known_names)]


def test_names_that_differ_by_case_get_digest():
    upper, long_name = f"R_A~{hashlib.sha256(b'R_A').hexdigest()[:32]}", "n" * 200
    assert distinguish(["r_b", "r_a", "R_A", long_name]) == ["r_b", "r_a", upper, long_name]
    # Names of existing chips stay, even those of an older version that differ by case only.
    assert distinguish(["R_A", "r_a"], {"r_a", upper}) == [upper, "r_a"]
    assert distinguish(["R_A", "r_a"], {"r_a"}) == [upper, "r_a"]
    assert distinguish(["R_A", "r_a"], {"R_A", "r_a"}) == ["R_A", "r_a"]
    assert distinguish(["R_A"], {upper}) == [upper]
    [_, first, second] = distinguish(["x" * 200, "X" * 200, "X" * 199 + "x"])
    assert (len(first), len(second)) == (200, 200)
    assert first.lower() != second.lower()
