-- stac_items.sql: the rasters of collection $collection after the key $after, at most $limit, as items of STAC need them
-- needs: current_raster, current_label, current_split, chain_event, state.raster, $collection, $after, $limit, $previous (a position or 0)
-- · makes: one result: key, id, path, storage, geometry (GeoJSON), xmin, ymin, xmax, ymax, crs, width, height, transform, bands, dtype, size, sha256,
-- acquired, recorded_at, licence, parent, parent_collection, labels, splits, is_older
WITH raster AS (
    SELECT * FROM current_raster WHERE collection = $collection AND raster_key > $after ORDER BY raster_key LIMIT $limit
), label AS (
    SELECT raster_id, list({'label': label, 'path': path, 'size': size, 'sha256': sha256} ORDER BY label) AS labels
    FROM current_label SEMI JOIN raster USING (raster_id) GROUP BY raster_id
), part AS (
    SELECT raster_id, list({'split': split, 'part': part} ORDER BY split) AS parts
    FROM current_split SEMI JOIN raster USING (raster_id) GROUP BY raster_id
), older AS (
    SELECT DISTINCT raster_id, true AS is_older FROM state.raster SEMI JOIN raster USING (raster_id)
    WHERE valid_from <= $previous AND valid_to > $previous
)
SELECT raster_key, raster.raster_id, path, storage, ST_AsGeoJSON(footprint) AS geometry,
       ST_XMin(footprint), ST_YMin(footprint), ST_XMax(footprint), ST_YMax(footprint), raster.crs, raster.width, raster.height,
       raster.transform, raster.bands, raster.dtype, size, sha256, acquired, recorded_at, properties->>'$.licence' AS licence,
       raster.parent_id, parent.parent_collection, coalesce(labels, []) AS labels, coalesce(parts, []) AS parts,
       coalesce(is_older, false) AS is_older
FROM raster
LEFT JOIN (SELECT raster_id AS parent_id, collection AS parent_collection FROM current_raster) AS parent USING (parent_id)
LEFT JOIN label ON label.raster_id = raster.raster_id
LEFT JOIN part ON part.raster_id = raster.raster_id
LEFT JOIN older ON older.raster_id = raster.raster_id
LEFT JOIN (SELECT position, recorded_at FROM chain_event) AS event ON event.position = raster.valid_from
ORDER BY raster_key;
