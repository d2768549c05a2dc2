-- found_ids.sql: the objects of a revision whose ids have a text: equal ones first, then those that begin with it
-- needs: {schema} with feature and raster (formatted), $at, $text, $limit · makes: one result: subject, id, kind
SELECT subject, id, kind
FROM (SELECT 'feature' AS subject, id, kind FROM {schema}.feature WHERE valid_from <= $at AND valid_to > $at
      UNION ALL
      SELECT 'raster', id, collection FROM {schema}.raster WHERE valid_from <= $at AND valid_to > $at)
WHERE contains(lower(id), lower($text))
ORDER BY id <> $text, NOT starts_with(lower(id), lower($text)), length(id), id LIMIT $limit
