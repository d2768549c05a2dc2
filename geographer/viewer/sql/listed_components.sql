-- listed_components.sql: the components of a split's rasters by falling size, with the box, the subsets and some of the members
-- needs: {schema} with raster, split, {components} (id, component) (formatted), $at, $split, $limit · makes: one result, a row each
SELECT component, count(*) AS size, count(*) OVER () AS total, list(DISTINCT subset ORDER BY subset) AS subsets,
       list(id ORDER BY id)[:5] AS members, min(x0) AS x0, min(y0) AS y0, max(x1) AS x1, max(y1) AS y1
FROM {schema}.{components}
JOIN (SELECT id, x0, y0, x1, y1 FROM {schema}.raster WHERE valid_from <= $at AND valid_to > $at) USING (id)
LEFT JOIN (SELECT id, coalesce(part, '(excluded)') AS subset FROM {schema}.split
           WHERE split = $split AND valid_from <= $at AND valid_to > $at) USING (id)
GROUP BY component ORDER BY size DESC, component LIMIT $limit
