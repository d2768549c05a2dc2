-- user_columns.sql: the user columns of $subject ('feature' or 'raster') at $position, by first record; without dropped ones
-- needs: state.user_column (a null type means dropped), $subject, $position · makes: one result: name, types
SELECT name, list(DISTINCT type) AS types
FROM (SELECT *, max((position, ordinal)) FILTER (type IS NULL) OVER (PARTITION BY name) AS dropped
      FROM state.user_column WHERE subject = $subject AND position <= $position)
WHERE dropped IS NULL OR (position, ordinal) > dropped
GROUP BY name
ORDER BY min((position, ordinal));
