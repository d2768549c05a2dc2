-- assign_parts.sql: the part of each cell of the Hilbert curve, so that features that lie near each other are in one part
-- needs: state.feature, state.raster, $after, $part_size · makes: temp table edge_part_cell
-- The features that new edges can have: the new ones, and if there are new rasters all that are valid then.
CREATE OR REPLACE TEMP TABLE edge_part_cell AS
WITH feature AS (
    SELECT (xmin + xmax) / 2 AS x, (ymin + ymax) / 2 AS y FROM state.feature
    WHERE valid_to > $after AND (valid_from > $after OR EXISTS (FROM state.raster WHERE valid_from > $after))
), extent AS (
    SELECT {'min_x': min(x), 'min_y': min(y), 'max_x': max(x), 'max_y': max(y)}::BOX_2D AS extent FROM feature
), cell AS (
    -- The curve has 65,536 steps along each axis, and a cell has 64.
    SELECT extent, ST_Hilbert(x, y, extent) >> 12 AS cell, count(*) AS features FROM feature, extent GROUP BY ALL
)
SELECT extent, cell, ((sum(features) OVER (ORDER BY cell) - (features + 1) // 2) // $part_size)::BIGINT AS part FROM cell;
