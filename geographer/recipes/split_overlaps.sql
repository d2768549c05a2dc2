-- split_overlaps.sql: which rasters of $collection share pixels, or ground where they come from different parents
WITH member AS (
    SELECT row_number() OVER (ORDER BY raster_id) - 1 AS number, parent_id, col, "row", width, height, footprint
    FROM raster_now WHERE collection = $collection
), compared AS (
    -- Slivers are no overlap: edges that two grids share differ by a rounding in longitude/latitude.
    SELECT a.number AS a, b.number AS b, CASE
        WHEN a.number >= b.number THEN false
        WHEN a.parent_id = b.parent_id THEN a.col < b.col + b.width AND b.col < a.col + a.width
                                            AND a."row" < b."row" + b.height AND b."row" < a."row" + a.height
        ELSE ST_Area(ST_Intersection(a.footprint, b.footprint))
             > 1e-6 * least(ST_Area(a.footprint), ST_Area(b.footprint)) END AS overlap
    FROM member AS a JOIN member AS b ON ST_Intersects_Extent(a.footprint, b.footprint)
)
SELECT a, b FROM compared WHERE overlap ORDER BY a, b;
