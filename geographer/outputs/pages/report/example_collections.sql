-- example_collections.sql: the collections with pixels, chips first, of which examples are shown if no split says which
-- needs: current_raster · makes: one result: collection
SELECT collection FROM current_raster WHERE storage <> 'catalogue' GROUP BY collection ORDER BY count(parent_id) = 0, count(*) DESC, collection LIMIT 1;
