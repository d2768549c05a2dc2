-- raster_places.sql: where the rasters of some ids are at a revision, and the parts of splits that they are in
-- needs: current_raster, current_split, wanted_raster (raster_id) · makes: one result, a row for each raster
SELECT raster_id, collection, parent_id IS NOT NULL AS is_chip, ST_AsWKB(footprint)::BLOB AS footprint, splits, parts
FROM current_raster SEMI JOIN wanted_raster USING (raster_id)
LEFT JOIN (
    SELECT raster_id, list(split ORDER BY split) AS splits, list(part ORDER BY split) AS parts
    FROM current_split SEMI JOIN wanted_raster USING (raster_id) WHERE part IS NOT NULL GROUP BY raster_id
) USING (raster_id)
ORDER BY raster_id;
