-- raster_change.sql: the rows of new events in {table} that cannot be used, each with its first problem
-- needs: chain_{table}, macros.sql, path_fault.sql, $after, $up_to · makes: rows of state.unreadable_row
INSERT INTO state.unreadable_row
WITH new_row AS (
    FROM chain_{table} WHERE position > $after AND position <= $up_to
), unusable_crs AS (
    SELECT crs FROM (SELECT DISTINCT crs FROM new_row WHERE change <> 'removed') WHERE NOT can_reach_lonlat(crs)
), with_problem AS (
    SELECT *, CASE
        WHEN raster_id IS NULL THEN 'it has no id'
        WHEN change = 'removed' THEN NULL
        WHEN storage IS NULL OR storage NOT IN ('dvc', 'reference', 'remote', 'virtual', 'catalogue')
        THEN 'it has no known kind of storage'
        WHEN storage = 'dvc' AND path_fault(path) IS NOT NULL THEN path_fault(path)
        WHEN storage = 'reference' AND reference_fault(path) IS NOT NULL THEN reference_fault(path)
        WHEN storage = 'virtual' AND window_fault(path, sha256) IS NOT NULL THEN window_fault(path, sha256)
        WHEN storage = 'virtual' AND (parent_id IS NULL OR col IS NULL OR "row" IS NULL) THEN 'it has no raster that it is a window of'
        WHEN storage = 'remote' AND remote_fault(path) IS NOT NULL THEN remote_fault(path)
        WHEN storage = 'remote' AND md5 IS NULL AND sha256(path) IS DISTINCT FROM sha256 THEN 'its SHA-256 is not that of its version'
        WHEN (storage IN ('dvc', 'reference') OR (storage = 'remote' AND md5 IS NOT NULL)) AND NOT has_checksums(size, md5, sha256)
        THEN 'its checksums are not valid'
        WHEN parent_id = raster_id THEN 'it is its own parent'
        WHEN coalesce(collection, '') = '' THEN 'it has no collection'
        WHEN regexp_matches(collection, '^\.|[/\\\x00-\x1f\x7f]') THEN 'its collection has a name that no folder can have'
        WHEN NOT is_polygon(TRY(ST_GeomFromWKB(outline))) THEN 'its outline is not a polygon'
        WHEN crs IS NULL OR crs IN (FROM unusable_crs) THEN 'its CRS cannot be transformed to longitude/latitude'
        WHEN storage <> 'catalogue' AND NOT has_grid(transform, width, height, bands, dtype)
        THEN 'its width, height, transform, bands or data type is missing or out of bounds'
        WHEN NOT is_transform(transform) THEN 'its transform is not six finite numbers'
        WHEN nodata IS NOT NULL AND TRY_CAST(nodata AS DOUBLE) IS NULL THEN 'its nodata value is not a number'
        WHEN acquired IS NOT NULL AND TRY_CAST(acquired AS TIMESTAMP) IS NULL THEN 'its acquisition time is not a time'
        WHEN NOT is_json_object(properties) THEN 'its properties are not a JSON object'
        WHEN {casts} THEN 'a property does not have the type of its column'
        END AS problem
    FROM new_row
)
SELECT position, '{table}', ordinal, {object}, problem, row_digest, position, open_end()
FROM with_problem WHERE problem IS NOT NULL
ORDER BY position, ordinal;
