from __future__ import annotations

import hashlib

import pytest

from geographer.archives.stac_properties import digest_of, facts_of, size_of
from tests.stac_servers import multihash

NAME = "S2A_MSIL2A_20230101T101011_N0509_R022_T32TPT_20230101T123456"


def test_a_sentinel_2_product_tells_its_facts_by_its_name() -> None:
    assert facts_of({}, "an-id", NAME + ".SAFE") == {
        "platform": "sentinel-2a",
        "tile": "32TPT",
        "datatake": "S2A_20230101T101011",
        "relative_orbit": 22,
        "processing_level": "L2A",
        "processing_baseline": "05.09",
        "processed": "2023-01-01T12:34:56",
    }


def test_what_the_archive_states_comes_before_what_the_name_tells() -> None:
    stated = {
        "platform": "Sentinel-2A",
        "constellation": "sentinel-2",
        "grid:code": "MGRS-32TPT",
        "s2:datatake_id": "GS2A_20230101T101011_039310_N05.09",
        "sat:relative_orbit": 22,
        "processing:level": "Level-2A",
        "s2:processing_baseline": "5.09",
        "created": "2024-02-02T00:00:00Z",
        "s2:generation_time": "2023-01-01T12:34:56.000000Z",
    }
    assert facts_of(stated, "S2A_32TPT_20230101_0_L2A") == {
        "platform": "Sentinel-2A",
        "constellation": "sentinel-2",
        "tile": "32TPT",
        "datatake": "S2A_20230101T101011",
        "relative_orbit": 22,
        "absolute_orbit": 39310,
        "processing_level": "Level-2A",
        "processing_baseline": "05.09",
        "processed": "2023-01-01T12:34:56",
    }


def test_two_processings_of_one_acquisition_have_one_datatake_and_tile() -> None:
    older, newer = NAME, NAME.replace("N0509", "N0510").replace("123456", "224466"[:6].replace("4466", "3040"))
    one, other = facts_of({}, older), facts_of({"s2:datatake_id": "GS2A_20230101T101011_039310_N05.10"}, newer)
    assert (one["datatake"], one["tile"]) == (other["datatake"], other["tile"])
    assert one["processing_baseline"] != other["processing_baseline"]


def test_a_tile_may_be_told_in_parts() -> None:
    assert facts_of({"mgrs:utm_zone": 5, "mgrs:latitude_band": "Q", "mgrs:grid_square": "KB"})["tile"] == "05QKB"


def test_what_is_no_time_is_no_time_of_processing() -> None:
    assert "processed" not in facts_of({"created": "yesterday"})


def test_multihashes_and_bare_digests_are_understood() -> None:
    content = b"some bytes"
    md5, sha512 = hashlib.md5(content).hexdigest(), hashlib.sha512(content).hexdigest()
    assert digest_of(multihash(content)) == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert digest_of("d50110" + md5) == digest_of(md5.upper()) == digest_of([md5]) == f"md5:{md5}"
    assert digest_of("1340" + sha512) == f"sha512:{sha512}"


@pytest.mark.parametrize("value", [None, "", "xyz", "1220abcd", 12, ["a", "b"], {}])
def test_what_is_no_digest_is_none(value: object) -> None:
    assert digest_of(value) is None


def test_sizes_are_whole_numbers_of_bytes() -> None:
    assert [size_of(value) for value in (12, "12", -1, None, "many", 0)] == [12, 12, None, None, None, 0]
