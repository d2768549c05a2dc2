-- feature_change.sql: the rows of new events in {table} that cannot be used, each with its first problem
-- needs: chain_{table}, macros.sql, $after, $up_to · makes: rows of state.unreadable_row
INSERT INTO state.unreadable_row
WITH new_row AS (
    FROM chain_{table} WHERE position > $after AND position <= $up_to
), unusable_crs AS (
    SELECT crs FROM (SELECT DISTINCT crs FROM new_row WHERE change <> 'removed') WHERE NOT can_reach_lonlat(crs)
), with_problem AS (
    SELECT *, CASE
        WHEN feature_id IS NULL THEN 'it has no id'
        WHEN change = 'removed' THEN NULL
        WHEN class IS NULL OR id_is_integer IS NULL THEN 'it has no class or kind of id'
        WHEN TRY(ST_GeomFromWKB(geometry)) IS NULL THEN 'its geometry is not WKB'
        WHEN crs <> 'EPSG:4326' AND NOT is_finite_geometry(TRY(ST_GeomFromWKB(geometry)))
        THEN 'its geometry is empty or not finite'
        WHEN crs IS NULL OR crs IN (FROM unusable_crs) THEN 'its CRS cannot be transformed to longitude/latitude'
        WHEN NOT is_json_object(properties) THEN 'its properties are not a JSON object'
        WHEN {casts} THEN 'a property does not have the type of its column'
        END AS problem
    FROM new_row
)
SELECT position, '{table}', ordinal, {object}, problem, row_digest, position, open_end()
FROM with_problem WHERE problem IS NOT NULL
ORDER BY position, ordinal;
