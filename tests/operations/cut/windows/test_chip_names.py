"""Names of chips are safe, readable and different."""

import re
from itertools import product
from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from geographer.operations.cut.windows.chip_names import cell_name, chip_name

ids = st.text(alphabet="aA_-.~%5F é/\\:\0", min_size=1, max_size=6) | st.text(min_size=1, max_size=12)


parts = st.none() | st.tuples(st.integers(0, 9), st.integers(0, 9))


def taken_apart(stem):
    """The ids in a chip's name, and its part, by the rule that its docstring gives."""
    stem, _, place = stem.partition("~")
    part = tuple(map(int, place.split("-"))) if place else None
    odd = [run for run in re.finditer("_+", stem) if len(run[0]) % 2][-1]
    return unquote(stem[: odd.start()]), unquote(stem[odd.start() + 1 :].replace("__", "_")), part


@given(ids, ids, parts)
def test_the_name_of_a_chip_is_safe_and_can_be_taken_apart_into_its_ids(parent, feature, part):
    stem = chip_name(parent, feature, part)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*(~\d+-\d+)?", stem)
    assert taken_apart(stem) == (parent, feature, part)


@given(ids, st.integers(), st.integers())
def test_the_name_of_a_cell_is_safe_and_can_be_taken_apart(parent, col, row):
    stem = cell_name(parent, col, row)
    assert re.fullmatch(r"[A-Za-z0-9_%][A-Za-z0-9._%-]*", stem)
    left, c, r = stem.rsplit("_", 2)
    assert (unquote(left), c, r) == (parent, f"c{col}", f"r{row}")


def test_ids_full_of_underscores_have_different_names():
    few = ["".join(letters) for size in range(1, 5) for letters in product("a_", repeat=size)]
    assert len({chip_name(*pair) for pair in product(few, few)}) == len(few) ** 2


def test_ordinary_ids_stay_readable():
    assert chip_name("rmnp-rgb", "G239") == "rmnp-rgb_G239"
    assert chip_name("rmnp-rgb", "G239", (1, 0)) == "rmnp-rgb_G239~1-0"
    assert chip_name("S2A_T33UUP.v1", "stadium_12") == "S2A_T33UUP.v1_stadium__12"
    assert chip_name(".x_", "-5~") == "%2Ex%5F_-5%7E"
    assert cell_name("rmnp-rgb", 0, 256) == "rmnp-rgb_c0_r256"


@given(st.text(min_size=90, max_size=210), st.text(min_size=90, max_size=210), st.sampled_from("b_é"))
def test_names_stay_short_and_different(parent, feature, letter):
    stems = [
        chip_name(parent, feature),
        chip_name(parent, feature + letter),
        chip_name(parent + letter, feature),
    ]
    assert len(set(stems)) == 3
    for stem in stems:
        assert len(stem) <= 200
        assert re.fullmatch(r"[A-Za-z0-9._%-]+(~[0-9a-f]{32})?", stem)


def test_a_name_is_cut_only_where_it_is_too_long():
    assert chip_name("a" * 100, "b" * 99) == "a" * 100 + "_" + "b" * 99
    cut = chip_name("a" * 100, "b" * 100)
    assert cut[:167] == "a" * 100 + "_" + "b" * 66
    assert (len(cut), cut[167]) == (200, "~")
    assert len(cell_name("a" * 300, 0, 0)) == 200
    assert cell_name("a" * 300, 0, 0) != cell_name("a" * 300, 0, 1)
