-- places.sql: where the certified rasters are: the windows of chips, and boxes around the footprints
-- needs: certified_raster, current_raster, state.raster · makes: one result: raster_index, parent_key, col, row, width, height, west, south, east, north
WITH member AS (
    SELECT raster_index, current_raster.* FROM current_raster JOIN certified_raster USING (raster_key)
)
-- The parent as it was when the chip was cut: a replaced raster with the same id has other pixels.
SELECT raster_index, parent.raster_key AS parent_key, member.col, member."row", member.width, member.height,
       ST_XMin(member.footprint) AS west, ST_YMin(member.footprint) AS south, ST_XMax(member.footprint) AS east, ST_YMax(member.footprint) AS north
FROM member LEFT JOIN state.raster AS parent
ON parent.raster_id = member.parent_id AND parent.valid_from < member.valid_from AND parent.valid_to >= member.valid_from
ORDER BY raster_index;
