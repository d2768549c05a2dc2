"""Compare what two versions of geographer record for the same commands on the same inputs.

    python -m tests.compatibility.compare_commits BEFORE AFTER

BEFORE and AFTER are each a commit, or a folder that holds a checkout. The commands of `example_commands.py` run under
both. Then every event, row, content digest, derived table, file, exit code and JSON answer is compared. The exit code
is 0 when all are equal, apart from the differences that `ALLOWED` states; these are printed, too.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import rfc8785

from tests.compatibility.example_commands import write_inputs

PROJECT = Path(__file__).parents[2]
COMMANDS = Path(__file__).with_name("example_commands.py")

ALLOWED = {
    r"payload\.software\.\w+$": "A version of the software. It says what ran, not what was asked or what came of it.",
    r"payload\.warnings\[\d+\]$": "A sentence for people. How many there are is compared.",
    r"payload\.(unmet|differences)\.reasons\[\d+\]$": "A reason in words, as a key. The counts under it are compared.",
    r"rows\.skipped_input\[\d+\]\.(reason|row_digest)$": "A reason in words, and the digest of a row that holds it.",
    r" state: (event|recipe|recipe_record|tag)(\.|$)": "The state is derived; it keeps versions of recipes, and tags.",
    r"revision_tagged: (version|payload\.(tag\.(merkle_root|version|log_root|dataset)|signature|time_stamp))$": "Tags "
    "record more digests, a version and a signature.",
    r"rows_digest \(skipped_input only\)$": "The digest of rows of which only reasons in words differ.",
}
"""Differences that do not count: patterns of their locations, each with the reason."""

NOT_RECORDED_TWICE = ("event_id", "recorded_at", "digest", "parents", "format", "generation")
"""Fields that differ between any two runs. The chain that they form is checked on either side instead."""

JOIN_COLUMNS = ["surely_in", "surely_out", "inside_bound", "outside_bound", "inside_margin", "outside_margin", "reach"]
SIDE_COLUMNS = [f"side_{number}_{part}" for number in range(1, 5) for part in ("lon", "lat", "0")]
NOT_IN_STATE = {("meta", name) for name in ("made_by", "sql_digest", "head_digest", "state_digest")} | {
    ("raster", name) for name in (*JOIN_COLUMNS, *SIDE_COLUMNS)
}
"""Columns of the state that are not derived from the content of the log, or that only speed up the join of edges."""

RENAMED_IN_STATE: dict[str, str] = {
    "own_column": "user_column",
    "raster.boxed": "axis_aligned",
    "raster.torn": "splits_at_antimeridian",
    "raster.wraps": "crosses_180",
    "raster.turn": "lon_shift",
    "raster.box_xmin": "bbox_xmin",
    "raster.box_ymin": "bbox_ymin",
    "raster.box_xmax": "bbox_xmax",
    "raster.box_ymax": "bbox_ymax",
    "raster.inner_xmin": "inner_bbox_xmin",
    "raster.inner_ymin": "inner_bbox_ymin",
    "raster.inner_xmax": "inner_bbox_xmax",
    "raster.inner_ymax": "inner_bbox_ymax",
    "raster.u_lon": "frame_u_lon",
    "raster.u_lat": "frame_u_lat",
    "raster.u_0": "frame_u_0",
    "raster.v_lon": "frame_v_lon",
    "raster.v_lat": "frame_v_lat",
    "raster.v_0": "frame_v_0",
}
"""Tables ('feature') and columns ('feature.native') of BEFORE's state, with their names in AFTER's. The state is not
recorded: it is derived again whenever its SQL differs, so names in it may change. Add those that did."""

EVERY_KIND = {
    "dataset_initialised", "classes_added", "classes_remapped", "classes_hardened", "features_added",
    "features_removed", "rasters_added", "rasters_downloaded", "catalogue_added", "rasters_removed",
    "geographer_imported", "dataset_imported", "chips_cut", "labels_made", "split_assigned", "recipe_removed",
    "revision_tagged",
    "cut around", "cut cover", "cut grid", "cut boxes", "cut own", "label mask", "label soft", "label instances",
    "label multilabel", "label boxes", "label own", "split", "download",
}  # fmt: skip
"""The kinds of events and recipes that the commands must record, so that the comparison covers them."""

DATASETS = ("ponds", "other")


class Difference(NamedTuple):
    """Two values that are not equal, and their location."""

    location: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Side:
    """The results of all commands under one version.

    Attributes:
        folder: In which they ran.
        results: Of each command, its arguments, exit codes, stderr and, if it is compared, stdout.
        content_digests: Of the dataset `ponds`, at every position.
        events: Of each dataset, its events with their rows, whose digests are replaced by `<digest of ponds@3>`.
        state: Of each dataset, the rows of every derived table.
        files: The SHA-256 of every file of the workspace and of a checkout, by path.
    """

    folder: Path
    results: list[dict[str, Any]]
    content_digests: list[str]
    events: dict[str, list[dict[str, Any]]]
    state: dict[str, dict[str, Any]]
    files: dict[str, str]


# --- Run -----------------------------------------------------------------------------------------------------------


@contextmanager
def check_out(version: str, folder: Path) -> Iterator[Path]:
    """Yield the checkout that `version` names: an existing folder, or a temporary work tree of a commit in `folder`."""
    if Path(version).is_dir():
        yield Path(version).resolve()
        return
    git = ("git", "-C", str(PROJECT))
    subprocess.run([*git, "worktree", "add", "--quiet", "--detach", str(folder), version], check=True)
    try:
        yield folder
    finally:
        subprocess.run([*git, "worktree", "remove", "--force", str(folder)], check=True)


def start_commands(checkout: Path, folder: Path, home: Path) -> subprocess.Popen[str]:
    """Write the inputs into `folder`, and run all commands there under the geographer of `checkout`."""
    write_inputs(folder)
    home.mkdir()
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("DVC_", "GIT_", "XDG_", "GEOGRAPHER_"))
    }
    folders = ("DVC_GLOBAL_CONFIG_DIR", "DVC_SYSTEM_CONFIG_DIR", "DVC_SITE_CACHE_DIR")
    own = {name: str(home / name.lower()) for name in folders}
    own |= {"HOME": str(home), "DVC_NO_ANALYTICS": "1", "GEOGRAPHER_AUTHOR": "Ada", "PYTHONPATH": str(checkout)}
    own |= {"PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, str(COMMANDS), str(home / "results.json")]
    return subprocess.Popen(command, cwd=folder, env={**environment, **own}, stdout=sys.stderr, text=True)


def read_side(checkout: Path, folder: Path, home: Path) -> Side:
    """Read the results of the commands in `folder`."""
    report = json.loads((home / "results.json").read_text())
    if not Path(report["package"]).is_relative_to(checkout):
        raise SystemExit(f"error: the commands ran {report['package']}, which is not in {checkout}")
    replaced = {str(folder): "<folder>", str(folder.resolve()): "<folder>"}
    events = {name: read_events(folder / name / ".geographer" / "log.duckdb") for name in DATASETS}
    for name in DATASETS:
        check_chain(name, events[name])
        for event in events[name]:
            event["payload"] = name_reasons(event["payload"])
        replaced |= {event["digest"]: f"<digest of {name}@{event['position']}>" for event in events[name]}
    for name in DATASETS:
        events[name] = [_drop_fields(event, NOT_RECORDED_TWICE) for event in replace_texts(events[name], replaced)]
    results = replace_texts(report["results"], replaced)
    state = {name: read_state(folder / name / ".geographer" / "state.duckdb") for name in DATASETS}
    return Side(folder, results, report["content_digests"], events, state, read_files(folder))


def read_events(path: Path) -> list[dict[str, Any]]:
    """Read the events of a log in order, each with its rows by table."""
    with duckdb.connect(str(path), read_only=True) as log:
        tables = [table for (table,) in log.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        # In the first layout, rows refer to events by position. The only chain is linear, so that keys are positions too.
        key = "event_key" if "chain" in tables else "position"
        events = read_table(log, "event", f"ORDER BY {key}")
        for event in events:
            event["position"] = event.pop(key)
            event["payload"] = json.loads(event["payload"])
            event["rows"] = {}
        for table in sorted(set(tables) - {"event", "chain", "meta"}):
            for row in read_table(log, table, f"ORDER BY {key}, ordinal"):
                events[row.pop(key) - 1]["rows"].setdefault(table, []).append(row)
    return events


def read_table(connection: duckdb.DuckDBPyConnection, table: str, order: str) -> list[dict[str, Any]]:
    """Read the rows of a table; bytes as their SHA-256."""
    cursor = connection.execute(f'FROM "{table}" {order}')
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return [
        {name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows
    ]


def name_reasons(payload: dict[str, Any]) -> dict[str, Any]:
    """Return a payload in which counts by reason in words are two lists, so that both can be compared."""
    named = {}
    for key in payload.keys() & {"unmet", "differences"}:
        named[key] = {"counts": sorted(payload[key].values()), "reasons": sorted(payload[key])}
    return {**payload, **named}


def check_chain(name: str, events: list[dict[str, Any]]) -> None:
    """Refuse a log of which an event's digest, or its parent, is not what docs/log-format.md describes."""
    parents: list[str] = []
    for event in events:
        fact = _drop_fields(event, ("digest", "rows", "position" if event.get("format") == 2 else "format"))
        if event["parents"] != parents:
            raise SystemExit(f"error: {name}@{event['position']} has parents {event['parents']}, not {parents}")
        if hashlib.sha256(rfc8785.dumps(fact)).hexdigest() != event["digest"]:
            raise SystemExit(f"error: {name}@{event['position']} has another digest than its content")
        parents = [event["digest"]]


def read_state(path: Path) -> dict[str, Any]:
    """Read the derived tables: of each its columns, and its rows as sorted texts."""
    tables: dict[str, Any] = {}
    with duckdb.connect(str(path), read_only=True) as state:
        names = [name for (name,) in state.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()]
        for table in names:
            columns = [name for name, *_ in state.execute(f'DESCRIBE "{table}"').fetchall()]
            columns = [name for name in columns if (table, name) not in NOT_IN_STATE]
            chosen = ", ".join(f'"{name}"::VARCHAR' for name in columns)
            tables[table] = {
                "columns": columns,
                "rows": sorted(map(repr, state.execute(f'SELECT {chosen} FROM "{table}"').fetchall())),
            }
    return tables


def read_files(folder: Path) -> dict[str, str]:
    """Hash the files of the workspaces and of the checkout of v1."""
    parts = ("rasters", "labels", "tables")
    paths = sorted(
        path
        for name in (*DATASETS, "v1")
        for part in parts
        for path in (folder / name / part).rglob("*")
        if path.is_file()
    )
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def replace_texts(value: Any, replaced: dict[str, str]) -> Any:
    """Return `value` with digests that are wholly a text replaced, and folders within texts."""
    if isinstance(value, str):
        value = replaced.get(value, value)
        for text, other in replaced.items():
            if text.startswith("/"):
                value = value.replace(text, other)
        return value
    if isinstance(value, dict):
        return {key: replace_texts(part, replaced) for key, part in value.items()}
    if isinstance(value, list):
        return [replace_texts(part, replaced) for part in value]
    return value


def _drop_fields(event: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    return {name: value for name, value in event.items() if name not in names}


# --- Compare -------------------------------------------------------------------------------------------------------


def compare_sides(before: Side, after: Side) -> Iterator[Difference]:
    """Yield every difference between two versions."""
    for left, right in zip(before.results, after.results, strict=True):
        yield from compare_results(left, right)
    for name in DATASETS:
        pairs = zip_longest(before.events[name], after.events[name])
        for position, (left, right) in enumerate(pairs, 1):
            kind = (left or right)["kind"]
            yield from compare_events(left, right, f"{name}@{position} {kind}: ")
        yield from compare_state(before.state[name], after.state[name], f"{name} state: ")
    yield from compare_values(before.content_digests, after.content_digests, "content digest")
    yield from compare_values(before.files, after.files, "files: ")


def compare_results(before: dict[str, Any], after: dict[str, Any]) -> Iterator[Difference]:
    """Yield the differences in exit code and, where it is JSON, in what a command printed."""
    location = f"geographer {before['command']}: "
    if before["exit_code"] != after["exit_code"]:
        outcomes = [f"{side['exit_code']} {side['errors'].strip()[-300:]}".strip() for side in (before, after)]
        yield Difference(f"{location}exit code", *outcomes)
    if before["printed"] is not None:
        printed = [read_printed(side["printed"]) for side in (before, after)]
        yield from compare_values(printed[0], printed[1], f"{location}line ")


def read_printed(text: str) -> list[dict[str, Any]]:
    """Read lines of JSON, without the fields that differ between any two runs."""
    return [_drop_fields(json.loads(line), NOT_RECORDED_TWICE) for line in text.splitlines()]


def compare_events(before: Any, after: Any, location: str) -> Iterator[Difference]:
    """Yield the differences of two events and their rows."""
    if before is None or after is None:
        yield Difference(f"{location}event", before and before["kind"], after and after["kind"])
        return
    differences = list(compare_values(before, after, location))
    in_rows = [difference.location for difference in differences if f"{location}rows." in difference.location]
    in_words = in_rows and all(is_allowed(row) for row in in_rows)
    for difference in differences:
        if difference.location == f"{location}rows_digest" and in_words:
            difference = difference._replace(location=f"{difference.location} (skipped_input only)")
        yield difference


def compare_state(before: dict[str, Any], after: dict[str, Any], location: str) -> Iterator[Difference]:
    """Yield the differences of two states, table by table, after the names that `RENAMED_IN_STATE` states."""
    renamed = {
        RENAMED_IN_STATE.get(table, table): {
            "columns": [RENAMED_IN_STATE.get(f"{table}.{column}", column) for column in content["columns"]],
            "rows": content["rows"],
        }
        for table, content in before.items()
    }
    yield from compare_values(renamed, after, location)


def compare_values(before: Any, after: Any, location: str) -> Iterator[Difference]:
    """Yield the differences between two JSON values."""
    if isinstance(before, dict) and isinstance(after, dict):
        dot = "" if location.endswith(": ") else "."
        for key in sorted(before.keys() | after.keys()):
            yield from compare_values(before.get(key, "(none)"), after.get(key, "(none)"), f"{location}{dot}{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (left, right) in enumerate(zip(before, after, strict=True)):
            yield from compare_values(left, right, f"{location}[{index}]")
    elif before != after or type(before) is not type(after):
        yield Difference(location, before, after)


def is_allowed(location: str) -> bool:
    """Whether `ALLOWED` states a difference at this location."""
    return any(re.search(pattern, location) for pattern in ALLOWED)


def find_faults(side: Side) -> Iterator[str]:
    """Yield what is wrong with the commands themselves: an unexpected exit code, or a kind that nothing recorded."""
    for result in side.results:
        if result["exit_code"] != result["expected"]:
            errors = result["errors"].strip()[-300:]
            yield f"geographer {result['command']}: exit code {result['exit_code']}, not {result['expected']}: {errors}"
    events = [event for name in DATASETS for event in side.events[name]]
    recorded = {event["kind"] for event in events}
    recorded |= {event["payload"]["recipe"]["kind"] for event in events if "recipe" in event["payload"]}
    if EVERY_KIND - recorded:
        yield f"nothing recorded {', '.join(sorted(EVERY_KIND - recorded))}"
    if len(side.content_digests) != len(side.events["ponds"]):
        yield f"{len(side.content_digests)} content digests of {len(side.events['ponds'])} events"


# --- Report --------------------------------------------------------------------------------------------------------


def print_report(before: Side, after: Side, differences: list[Difference]) -> bool:
    """Print all differences and what was compared. Return whether all is equal, apart from what is allowed."""
    allowed = [difference for difference in differences if is_allowed(difference.location)]
    faults = [
        f"{name}: {fault}" for name, side in (("BEFORE", before), ("AFTER", after)) for fault in find_faults(side)
    ]
    for pattern, reason in ALLOWED.items():
        matches = [difference for difference in allowed if re.search(pattern, difference.location)]
        if matches:
            print(f"allowed {len(matches)} times: {reason}")
        for change, locations in group_changes(matches).items():
            print(f"    {locations[0]}{f' and {len(locations) - 1} more' if locations[1:] else ''}\n{change}")
    for difference in differences:
        if difference not in allowed:
            print(f"DIFFERENT: {difference.location}\n{_format_change(difference)}")
    for fault in faults:
        print(f"FAULT: {fault}")
    events = [event for name in DATASETS for event in before.events[name]]
    rows = sum(len(rows) for event in events for rows in event["rows"].values())
    derived = sum(len(table["rows"]) for name in DATASETS for table in before.state[name].values())
    printed = sum(result["printed"] is not None for result in before.results)
    print(
        f"compared {len(before.results)} commands with their exit codes, {printed} JSON answers, {len(events)} events, {rows} rows, "
        f"{len(before.content_digests)} content digests, {derived} rows of the state, {len(before.files)} files: "
        f"{len(differences) - len(allowed)} differences, {len(allowed)} allowed ones, {len(faults)} faults"
    )
    return len(differences) == len(allowed) and not faults


def group_changes(differences: list[Difference]) -> dict[str, list[str]]:
    """Return the locations of equal changes, by the change as text."""
    groups: dict[str, list[str]] = {}
    for difference in differences:
        groups.setdefault(_format_change(difference), []).append(difference.location)
    return groups


def _format_change(difference: Difference) -> str:
    return f"        before: {_shorten(difference.before)}\n        after:  {_shorten(difference.after)}"


def _shorten(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) < 300 else f"{text[:300]}…"


def main() -> None:
    """Run the comparison; the exit code is 1 when there is a difference that is not allowed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", metavar="BEFORE", help="a commit, or a folder with a checkout")
    parser.add_argument("after", metavar="AFTER", help="the same")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="copy both sides' datasets into this new folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="geographer-compare-") as name, ExitStack() as stack:
        work = Path(name).resolve()
        locations = []
        for side, version in (("before", arguments.before), ("after", arguments.after)):
            checkout = stack.enter_context(check_out(version, work / f"{side}-checkout"))
            locations.append((checkout, work / side, work / f"{side}-home"))
        running = [start_commands(*location) for location in locations]
        codes = [process.wait() for process in running]
        if arguments.keep:
            shutil.copytree(work, arguments.keep, symlinks=True, ignore=shutil.ignore_patterns("*-checkout"))
        if any(codes):
            raise SystemExit(f"error: the commands ended with {codes}: see above")
        before, after = (read_side(*location) for location in locations)
        equal = print_report(before, after, list(compare_sides(before, after)))
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
