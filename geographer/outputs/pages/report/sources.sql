-- sources.sql: where the rasters that are no chips come from: numbers by collection, provider, platform and licence as recorded
-- needs: current_raster · makes: one result: collection, provider, platform, licence, rasters, bytes, first, last (times of acquisition)
SELECT collection, properties->>'$.provider' AS provider, properties->>'$.platform' AS platform, properties->>'$.licence' AS licence,
       count(*) AS rasters, coalesce(sum(size) FILTER (storage = 'dvc'), 0)::BIGINT AS bytes, min(acquired) AS first, max(acquired) AS last
FROM current_raster
WHERE parent_id IS NULL
GROUP BY ALL
ORDER BY ALL;
