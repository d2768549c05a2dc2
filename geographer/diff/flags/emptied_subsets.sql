-- emptied_subsets.sql: the subsets of splits that have rasters at $old and none at $new
-- needs: changed_split, state.split, $old, $new · makes: one result: split, part, rasters (count at $old), position
WITH old_subset AS (
    SELECT split, part, count(*) AS rasters FROM state.split
    WHERE valid_from <= $old AND valid_to > $old AND part IS NOT NULL GROUP BY split, part
)
SELECT split, part, rasters, (SELECT max(position) FROM changed_split AS changed WHERE changed.split = old_subset.split) AS position
FROM old_subset
WHERE (split, part) NOT IN (SELECT (split, part) FROM state.split
                            WHERE valid_from <= $new AND valid_to > $new AND part IS NOT NULL)
ORDER BY split, part;
