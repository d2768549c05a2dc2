-- collections.sql: what each collection of rasters holds: numbers, sizes, bands, CRSs, ground resolution, times, licences, sources
-- needs: current_raster · makes: one result: collection, rasters, files, bytes, chips, references, footprints, widths, heights,
-- bands, dtypes, crs, resolution (metres, the median), first, last, licences, sources, parents, recipe
WITH raster AS (
    SELECT *, properties->>'$.licence' AS licence, properties->>'$.provider' AS provider, properties->>'$.platform' AS platform,
           -- ST_Area_Spheroid takes latitude before longitude.
           if(width * height > 0 AND NOT ST_IsEmpty(footprint),
              sqrt(ST_Area_Spheroid(ST_FlipCoordinates(footprint)) / (width * height)), NULL) AS ground_size
    FROM current_raster
), parent AS (
    SELECT child.collection, list(DISTINCT parent.collection ORDER BY parent.collection) AS parents
    FROM raster AS child JOIN current_raster AS parent ON parent.raster_id = child.parent_id
    GROUP BY child.collection
)
SELECT collection, count(*) AS rasters, count(*) FILTER (storage = 'dvc') AS files,
       coalesce(sum(size) FILTER (storage = 'dvc'), 0)::BIGINT AS bytes, count(parent_id) AS chips,
       count(*) FILTER (storage = 'reference') AS "references", count(*) FILTER (storage = 'catalogue') AS footprints,
       list(DISTINCT width ORDER BY width) FILTER (width IS NOT NULL) AS widths,
       list(DISTINCT height ORDER BY height) FILTER (height IS NOT NULL) AS heights,
       list(DISTINCT bands ORDER BY bands) FILTER (bands IS NOT NULL) AS bands,
       list(DISTINCT dtype ORDER BY dtype) FILTER (dtype IS NOT NULL) AS dtypes,
       list(DISTINCT crs ORDER BY crs) AS crs, median(ground_size) AS resolution,
       min(acquired) AS first, max(acquired) AS last,
       list(DISTINCT licence ORDER BY licence) FILTER (licence IS NOT NULL) AS licences,
       list(DISTINCT concat_ws(' ', provider, platform) ORDER BY concat_ws(' ', provider, platform))
           FILTER (provider IS NOT NULL OR platform IS NOT NULL) AS sources,
       any_value(parents) AS parents, min(recipe) AS recipe
FROM raster LEFT JOIN parent USING (collection)
GROUP BY collection
ORDER BY collection;
