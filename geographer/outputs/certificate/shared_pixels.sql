-- shared_pixels.sql: pairs of certified rasters of different parts that share pixels of a parent, or ground if they have different parents
-- needs: certified_raster, current_raster, state.raster · makes: one result: raster_a, raster_b, pixels, ground
WITH member AS (
    SELECT raster_index, part_number, current_raster.* FROM current_raster JOIN certified_raster USING (raster_key)
), member_with_parent AS (
    -- The parent as it was when the chip was cut: a replaced raster with the same id has other pixels.
    SELECT raster_index, part_number, parent.raster_key AS parent_key, member.col, member."row", member.width, member.height,
           member.footprint, ST_Area(member.footprint) AS area
    FROM member LEFT JOIN state.raster AS parent
    ON parent.raster_id = member.parent_id AND parent.valid_from < member.valid_from AND parent.valid_to >= member.valid_from
), candidate_pair AS (
    SELECT a.raster_index AS raster_a, b.raster_index AS raster_b, coalesce(a.parent_key = b.parent_key, false) AS has_same_parent,
           greatest(0, least(a.col + a.width, b.col + b.width) - greatest(a.col, b.col))
           * greatest(0, least(a."row" + a.height, b."row" + b.height) - greatest(a."row", b."row")) AS window_pixels,
           CASE WHEN a.parent_key = b.parent_key THEN 0
                ELSE ST_Area(ST_Intersection(a.footprint, b.footprint)) / least(a.area, b.area) END AS ground
    FROM member_with_parent AS a JOIN member_with_parent AS b ON ST_Intersects_Extent(a.footprint, b.footprint)
    WHERE a.raster_index < b.raster_index AND a.part_number <> b.part_number
)
-- An overlap below 1e-6 of the smaller area is rounding: shared grid edges differ slightly in longitude/latitude.
SELECT raster_a, raster_b, if(has_same_parent, window_pixels, 0)::BIGINT AS pixels, round(least(ground, 1), 9) AS ground
FROM candidate_pair WHERE if(has_same_parent, window_pixels > 0, ground > 1e-6) ORDER BY raster_a, raster_b;
