"""Branches: the chains of the log by name, and what creates, moves and deletes them.

A chain whose name has an '@' is hidden: it keeps the events that a branch had before it followed other ones.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

import duckdb

from geographer.base.errors import ConflictError, NotFoundError, UsageError
from geographer.base.text import quote_start
from geographer.base.timestamps import is_date
from geographer.storage.database.connection import DEFAULT_BRANCH
from geographer.storage.events import EMPTY_LOG_HEAD, Head
from geographer.storage.log.ancestry import read_ancestry
from geographer.storage.log.chain import BRANCH, build_head_sql

_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{6,64}")
_MERGING: Final = "@merging"
_HEADS: Final = (
    "SELECT branch, position, digest FROM (SELECT branch, max(position) AS position FROM log.chain GROUP BY branch) "
    "JOIN log.chain USING (branch, position) JOIN log.event USING (event_key) ORDER BY branch"
)


class Location(NamedTuple):
    """Where an event is: a chain that has it, and its position there, which is the same in all chains that have it."""

    branch: str
    position: int


def read_branch(connection: duckdb.DuckDBPyConnection) -> str:
    """Return the branch in use."""
    ((branch,),) = connection.execute(f"SELECT {BRANCH}").fetchall()
    return str(branch)


def read_chain_heads(connection: duckdb.DuckDBPyConnection) -> dict[str, Head]:
    """Return the heads of all chains by name: branches, fetched branches, and hidden ones."""
    return {branch: Head(position, digest) for branch, position, digest in connection.execute(_HEADS).fetchall()}


def read_chain_head(connection: duckdb.DuckDBPyConnection, branch: str) -> Head:
    """Return the head of a chain; that of an empty log if there is no such chain."""
    row = connection.execute(build_head_sql("$branch"), {"branch": branch}).fetchone()
    return Head(*row) if row else EMPTY_LOG_HEAD


def find_chain_head(connection: duckdb.DuckDBPyConnection, branch: str, planned: str) -> Head:
    """Return the head of a chain; `ConflictError` unless its digest is `planned`: another command moved it."""
    head = read_chain_head(connection, branch)
    if head.digest != planned:
        raise ConflictError(
            f"the change was planned on {planned[:12]}, but '{branch}' is now at @{head.position} {head.digest[:12]}. "
            "Run the command again."
        )
    return head


def has_branch(connection: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Return whether the log has a chain of this name."""
    return read_chain_head(connection, name) != EMPTY_LOG_HEAD


def is_branch_name(name: object) -> bool:
    """Return whether a chain is one of this dataset's branches: neither fetched nor hidden."""
    return isinstance(name, str) and "/" not in name and "@" not in name


def require_branch(connection: duckdb.DuckDBPyConnection, name: object) -> Head:
    """Return the head of one of this dataset's branches; `NotFoundError` if none has that name."""
    heads = read_chain_heads(connection) if is_branch_name(name) else {}
    for branch, head in heads.items():
        if branch == name:
            return head
    hint = f"; geographer branch {name} creates it" if isinstance(name, str) and _NAME.fullmatch(name) else ""
    raise NotFoundError(f"no branch '{_show_name(name)}'. See geographer branch{hint}.")


def validate_branch_name(name: object) -> str:
    """Return the name of a new branch; `UsageError` if another revision could be meant by it."""
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name.endswith((".lock", ".")):
        raise UsageError(
            f"invalid branch name '{_show_name(name)}'. Use up to 100 letters, digits, '_', '-' and '.'; begin with a "
            "letter, a digit or '_'."
        )
    if _DIGEST.fullmatch(name) or name.upper() == "HEAD" or is_date(name):
        raise UsageError(f"branch name '{name}' could mean another revision. Choose another name.")
    return name


def _show_name(name: object) -> str:
    return quote_start(name) if isinstance(name, str) else repr(name)


def create_chain(connection: duckdb.DuckDBPyConnection, name: str, location: Location) -> None:
    """Create a chain with the events up to a location; `ConflictError` if there is one of this name."""
    names = {chain.casefold() for (chain,) in connection.execute("SELECT DISTINCT branch FROM log.chain").fetchall()}
    if name.casefold() in names:
        raise ConflictError(f"branch '{name}' exists already. See geographer branch, or switch to it.")
    connection.execute(
        "INSERT INTO log.chain SELECT $name, position, event_key FROM log.chain "
        "WHERE branch = $source AND position <= $position",
        {"name": name, "source": location.branch, "position": location.position},
    )


def hide_chain(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Delete a chain, unless it has events that no other chain has: then it becomes a hidden chain."""
    _keep_events(connection, name, require_branch(connection, name))
    connection.execute("DELETE FROM log.chain WHERE branch = $name", {"name": name})


def replace_chain(connection: duckdb.DuckDBPyConnection, name: str, source: Location) -> None:
    """Let a chain have the events up to a location; what it had beyond these stays in a hidden chain."""
    _keep_events(connection, name, read_chain_head(connection, name))
    parted = (
        "SELECT coalesce(min(own.position), 9223372036854775807) FROM log.chain AS own LEFT JOIN log.chain AS other "
        "ON other.branch = $source AND other.position = own.position AND other.position <= $position "
        "WHERE own.branch = $name AND other.event_key IS DISTINCT FROM own.event_key"
    )
    values = {"name": name, "source": source.branch, "position": source.position}
    ((first,),) = connection.execute(parted, values).fetchall()
    connection.execute(
        "DELETE FROM log.chain WHERE branch = $name AND position >= $first", {"name": name, "first": first}
    )
    connection.execute(
        "INSERT INTO log.chain SELECT $name, position, event_key FROM log.chain AS source WHERE branch = $source "
        "AND position <= $position AND position NOT IN (SELECT position FROM log.chain WHERE branch = $name)",
        values,
    )


def delete_chain(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Delete a chain whose events other chains have."""
    connection.execute("DELETE FROM log.chain WHERE branch = $name", {"name": name})


def find_common_position(connection: duckdb.DuckDBPyConnection, digest: str) -> int:
    """Return the last position that the branch in use shares with the first-parent chain of an event; 0: none."""
    location = find_chain_of(connection, digest)
    if location is None:
        return 0
    return min(find_shared_position(connection, read_branch(connection), location.branch), location.position)


def find_shared_position(connection: duckdb.DuckDBPyConnection, first: str, second: str) -> int:
    """Return the last position at which two chains have the same event; 0: none."""
    shorter = read_chain_head(connection, first).position
    if first == second:
        return shorter
    shorter = min(shorter, read_chain_head(connection, second).position)
    both = f"SELECT DISTINCT event_key FROM log.chain WHERE branch IN ($first, $second) AND position = {shorter:d}"  # noqa: S608
    if len(connection.execute(both, {"first": first, "second": second}).fetchall()) == 1:
        # The usual case: one chain continues the other.
        return shorter
    query = (
        "SELECT coalesce(max(position), 0) FROM log.chain AS a JOIN log.chain AS b USING (position, event_key) "
        "WHERE a.branch = $first AND b.branch = $second"
    )
    ((position,),) = connection.execute(query, {"first": first, "second": second}).fetchall()
    return int(position)


def read_location_digest(connection: duckdb.DuckDBPyConnection, location: Location) -> str:
    """Return the digest of the event at a location."""
    query = (
        "SELECT digest FROM log.chain JOIN log.event USING (event_key) WHERE branch = $branch AND position = $position"
    )
    ((digest,),) = connection.execute(query, location._asdict()).fetchall()
    return str(digest)


def prepare_merging_chain(connection: duckdb.DuckDBPyConnection, branch: str, source: str) -> None:
    """Make the chain on which `branch` is merged with `source`: a copy of `source`, which no other command uses."""
    name = name_merging_chain(branch)
    delete_chain(connection, name)
    create_chain(connection, name, Location(source, read_chain_head(connection, source).position))


def name_merging_chain(branch: str) -> str:
    """Return the name of the chain on which a merge of `branch` with its published head is prepared."""
    return f"{branch}{_MERGING}"


def keep_merged_events(connection: duckdb.DuckDBPyConnection) -> None:
    """Create hidden chains for merged events that no chain has, so that each event of the log is in a chain."""
    query = "SELECT digest FROM log.event WHERE event_key NOT IN (SELECT event_key FROM log.chain)"
    missing = {digest for (digest,) in connection.execute(query).fetchall()}
    if not missing:
        return
    ancestry = read_ancestry(connection)
    for digest in sorted(missing, key=lambda item: -ancestry.nodes[item].generation):
        if digest in missing:
            chain = ancestry.list_chain(digest)
            missing -= set(chain)
            _insert_chain(connection, f"{DEFAULT_BRANCH}@{digest[:12]}", chain)


def find_chain_of(connection: duckdb.DuckDBPyConnection, digest: str) -> Location | None:
    """Return where an event is: in the branch in use if that has it, else in another branch, or a hidden chain."""
    keys = connection.execute("SELECT event_key FROM log.event WHERE digest = $digest", {"digest": digest}).fetchall()
    if not keys:
        return None
    # DuckDB skips the blocks without a key that is part of the query.
    query = (
        f"SELECT branch, position FROM log.chain WHERE event_key = {int(keys[0][0])} "  # noqa: S608
        f"ORDER BY branch <> {BRANCH}, contains(branch, '@'), branch LIMIT 1"
    )
    row = connection.execute(query).fetchone()
    return Location(*row) if row else None


def _keep_events(connection: duckdb.DuckDBPyConnection, name: str, head: Head) -> None:
    """Copy a chain to a hidden one if its last event is in no other chain."""
    query = "SELECT count(DISTINCT branch) FROM log.chain JOIN log.event USING (event_key) WHERE digest = $digest"
    ((count,),) = connection.execute(query, {"digest": head.digest}).fetchall()
    hidden = f"{name.partition('@')[0]}@{head.digest[:12]}"
    if count == 1 and head != EMPTY_LOG_HEAD and hidden != name:
        columns = "SELECT $hidden, position, event_key FROM log.chain WHERE branch = $name"
        connection.execute(f"INSERT OR IGNORE INTO log.chain {columns}", {"hidden": hidden, "name": name})


def _insert_chain(connection: duckdb.DuckDBPyConnection, name: str, chain: list[str]) -> None:
    connection.execute(
        "INSERT OR IGNORE INTO log.chain SELECT $name, position, event_key FROM (SELECT unnest($digests::VARCHAR[]) "
        "AS digest, generate_subscripts($digests::VARCHAR[], 1) AS position) JOIN log.event USING (digest)",
        {"name": name, "digests": chain},
    )
