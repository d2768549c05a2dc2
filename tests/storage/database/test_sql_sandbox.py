"""SQL sandbox: `--order-by` accepts expressions over the columns and rejects all other SQL."""

import duckdb
import pytest

from geographer.base.errors import NotFoundError, UsageError
from geographer.storage.database.sql_sandbox import translate_sql_errors, validate_order_by

COLUMNS = ("raster_id", "cloud", "acquired")


@pytest.fixture(scope="module")
def connection():
    with duckdb.connect() as connection:
        connection.execute(
            "CREATE TABLE t AS SELECT * FROM (VALUES ('a', 3, '2020'), ('b', 1, '2021'), ('c', 1, '2019')) "
            "AS t(raster_id, cloud, acquired)"
        )
        yield connection


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("cloud, acquired DESC", "bca"),
        ("cloud DESC NULLS LAST, raster_id", "abc"),
        ("Acquired", "cab"),
        ('-cloud, "raster_id" DESC', "acb"),
        ("if(cloud > 2, 0, 1), length(acquired), raster_id desc", "acb"),
        ("raster_id -- comment", "abc"),
        ("3 - cloud, (raster_id) ASC", "abc"),
    ],
)
def test_order_by_accepts_column_expressions(connection, order, expected):
    clause = validate_order_by(connection, order, COLUMNS)
    rows = connection.execute(f"SELECT raster_id FROM t ORDER BY {clause}\n").fetchall()
    assert "".join(name for (name,) in rows) == expected


@pytest.mark.parametrize(
    "order",
    [
        "",
        "cloud LIMIT 1",
        "cloud OFFSET 1",
        "cloud; DROP TABLE t",
        "cloud; SELECT 1",
        "cloud UNION SELECT 1",
        "cloud) LIMIT (1",
        "cloud) OVER (ORDER BY raster_id",
        "cloud ASC DESC",
        "WHERE cloud",
        "cloud,",
        "'",
        "/*",
    ],
)
def test_order_by_rejects_other_sql(connection, order):
    with pytest.raises(UsageError, match="--order-by"):
        validate_order_by(connection, order, COLUMNS)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ("random()", "calls 'random'"),
        ("cloud, now()", "calls 'now'"),
        ("getenv('HOME')", "calls 'getenv'"),
        ("(SELECT max(cloud) FROM t)", "has a subquery"),
        ("cloud, exists(SELECT 1 FROM read_csv('/etc/passwd'))", "has a subquery"),
        ("cloud = $seed", "has a parameter"),
        ("raster_id = ?", "has a parameter"),
    ],
)
def test_order_by_rejects_unsafe_expressions(connection, order, message):
    with pytest.raises(UsageError, match="--order-by") as caught:
        validate_order_by(connection, order, COLUMNS)
    assert message in str(caught.value)


def test_order_by_names_unknown_column(connection):
    with pytest.raises(
        NotFoundError, match=r"--order-by: no column 'clouds'. The columns are acquired, cloud, raster_id"
    ):
        validate_order_by(connection, "clouds DESC", COLUMNS)


def test_evaluation_error_names_option(connection):
    clause = validate_order_by(connection, "sqrt(raster_id)", COLUMNS)
    with (
        pytest.raises(UsageError, match=r"cannot evaluate --order-by 'sqrt\(raster_id\)'"),
        translate_sql_errors("sqrt(raster_id)", "--order-by"),
    ):
        connection.execute(f"SELECT rank() OVER (ORDER BY {clause}\n) FROM t")
