-- overlaps.sql: which rasters of $collection share pixels, or ground where they come from different parents
WITH member AS (
    SELECT row_number() OVER (ORDER BY raster_id) - 1 AS number, * FROM raster_now WHERE collection = $collection
), child AS (
    -- A parent that was replaced under its id is another one: its pixels lie elsewhere.
    SELECT number, parent.raster_key AS parent_key, member.col, member."row", member.width, member.height,
           member.footprint
    FROM member LEFT JOIN state.raster AS parent
    ON parent.raster_id = member.parent_id AND parent.valid_from < member.valid_from
       AND parent.valid_to >= member.valid_from
), compared AS (
    -- Slivers are no overlap: edges that two grids share differ by a rounding in longitude/latitude.
    SELECT a.number AS a, b.number AS b, CASE
        WHEN a.number >= b.number THEN false
        WHEN a.parent_key = b.parent_key THEN a.col < b.col + b.width AND b.col < a.col + a.width
                                            AND a."row" < b."row" + b.height AND b."row" < a."row" + a.height
        ELSE ST_Area(ST_Intersection(a.footprint, b.footprint))
             > 1e-6 * least(ST_Area(a.footprint), ST_Area(b.footprint)) END AS overlap
    FROM child AS a JOIN child AS b ON ST_Intersects_Extent(a.footprint, b.footprint)
)
SELECT a, b FROM compared WHERE overlap ORDER BY a, b;
