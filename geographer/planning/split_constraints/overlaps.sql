-- overlaps.sql: pairs of the grouped rasters that share pixels of their parent, or ground if they have different parents
-- needs: grouped_raster, current_raster, state.raster · makes: one result: raster_a, raster_b
WITH member AS (
    SELECT raster_index, current_raster.* FROM current_raster JOIN grouped_raster USING (raster_key)
), member_with_parent AS (
    -- The parent as it was when the chip was cut: a replaced raster with the same id has other pixels.
    SELECT raster_index, parent.raster_key AS parent_key, member.col, member."row", member.width, member.height,
           member.footprint
    FROM member LEFT JOIN state.raster AS parent
    ON parent.raster_id = member.parent_id AND parent.valid_from < member.valid_from
       AND parent.valid_to >= member.valid_from
), candidate_pair AS (
    -- An overlap below 1e-6 of the smaller area is rounding: shared grid edges differ slightly in longitude/latitude.
    SELECT a.raster_index AS raster_a, b.raster_index AS raster_b, CASE
        WHEN a.raster_index >= b.raster_index THEN false
        WHEN a.parent_key = b.parent_key THEN a.col < b.col + b.width AND b.col < a.col + a.width
                                            AND a."row" < b."row" + b.height AND b."row" < a."row" + a.height
        ELSE ST_Area(ST_Intersection(a.footprint, b.footprint))
             > 1e-6 * least(ST_Area(a.footprint), ST_Area(b.footprint)) END AS overlap
    FROM member_with_parent AS a JOIN member_with_parent AS b ON ST_Intersects_Extent(a.footprint, b.footprint)
)
SELECT raster_a, raster_b FROM candidate_pair WHERE overlap ORDER BY raster_a, raster_b;
