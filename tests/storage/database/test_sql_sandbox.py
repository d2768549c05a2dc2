"""What may stand in `--order-by`: expressions over the columns, and nothing that reaches out."""

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
    ("order", "found"),
    [
        ("cloud, acquired DESC", "bca"),
        ("cloud DESC NULLS LAST, raster_id", "abc"),
        ("Acquired", "cab"),
        ('-cloud, "raster_id" DESC', "acb"),
        ("if(cloud > 2, 0, 1), length(acquired), raster_id desc", "acb"),
        ("raster_id -- as it is", "abc"),
        ("3 - cloud, (raster_id) ASC", "abc"),
    ],
)
def test_expressions_over_the_columns_each_with_a_direction_order_the_rows(connection, order, found):
    clause = validate_order_by(connection, order, COLUMNS)
    rows = connection.execute(f"SELECT raster_id FROM t ORDER BY {clause}\n").fetchall()
    assert "".join(name for (name,) in rows) == found


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
def test_what_is_no_list_of_expressions_is_refused(connection, order):
    with pytest.raises(UsageError, match="--order-by"):
        validate_order_by(connection, order, COLUMNS)
    assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


@pytest.mark.parametrize(
    ("order", "told"),
    [
        ("random()", "calls 'random'"),
        ("cloud, now()", "calls 'now'"),
        ("getenv('HOME')", "calls 'getenv'"),
        ("(SELECT max(cloud) FROM t)", "holds a subquery"),
        ("cloud, exists(SELECT 1 FROM read_csv('/etc/passwd'))", "holds a subquery"),
        ("cloud = $seed", "holds a parameter"),
        ("raster_id = ?", "holds a parameter"),
    ],
)
def test_what_reaches_out_or_changes_is_refused(connection, order, told):
    with pytest.raises(UsageError, match="--order-by") as caught:
        validate_order_by(connection, order, COLUMNS)
    assert told in str(caught.value)


def test_a_column_that_is_not_there_is_named_with_those_that_are(connection):
    with pytest.raises(NotFoundError, match=r"--order-by names 'clouds': the columns are acquired, cloud, raster_id"):
        validate_order_by(connection, "clouds DESC", COLUMNS)


def test_what_only_fails_on_the_columns_is_told_of_the_option(connection):
    clause = validate_order_by(connection, "sqrt(raster_id)", COLUMNS)
    with (
        pytest.raises(UsageError, match=r"--order-by 'sqrt\(raster_id\)' can't be evaluated"),
        translate_sql_errors("sqrt(raster_id)", "--order-by"),
    ):
        connection.execute(f"SELECT rank() OVER (ORDER BY {clause}\n) FROM t")
