-- recipe_facts.sql: how many rasters and labels of the recipe $id a revision has, and the parts of a split (null: left out)
-- needs: current_raster, current_label, current_split, $id · makes: one result: rasters, labels, parts
WITH part AS (
    SELECT part, count(*) AS rasters FROM current_split WHERE split = $id GROUP BY part
)
SELECT (SELECT count(*) FROM current_raster WHERE recipe = $id) AS rasters,
       (SELECT count(*) FROM current_label WHERE label = $id) AS labels,
       (SELECT coalesce(list({'part': part, 'rasters': rasters} ORDER BY part NULLS LAST), []) FROM part) AS parts;
