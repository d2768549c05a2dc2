-- existing_products.sql: products of the rasters in $collection, and of rasters that its download recipes added and a user removed
-- needs: current_raster, recipes, chain_raster_change, variable position, $collection · makes: one result: product_id, properties, footprint (WKB)
SELECT properties->>'$.product_id' AS product_id, properties, footprint
FROM (
    SELECT properties, ST_AsWKB(footprint)::BLOB AS footprint FROM current_raster WHERE collection = $collection
    UNION ALL
    SELECT properties, NULL
    FROM (SELECT raster_id, properties, recipe AS name, position AS added FROM chain_raster_change
          WHERE change = 'added' AND collection = $collection AND position <= getvariable('position')) AS change
    JOIN recipes USING (name)
    ANTI JOIN (SELECT raster_id FROM current_raster WHERE collection = $collection) USING (raster_id)
    -- A recipe that was removed and declared again starts without history.
    WHERE added >= recipes.position
)
WHERE product_id IS NOT NULL
ORDER BY ALL
