-- existing_products.sql: the products that $collection has, and those that its download recipes brought before a person removed them
SELECT properties->>'$.product_id' AS product_id, properties, footprint
FROM (
    SELECT properties, ST_AsWKB(footprint)::BLOB AS footprint FROM raster_now WHERE collection = $collection
    UNION ALL
    SELECT properties, NULL
    FROM (SELECT raster_id, properties, recipe AS name, position AS added FROM log.raster_change
          WHERE change = 'added' AND collection = $collection AND position <= getvariable('position')) AS change
    JOIN recipes USING (name)
    ANTI JOIN (SELECT raster_id FROM raster_now WHERE collection = $collection) USING (raster_id)
    -- A recipe that was removed and declared anew begins anew.
    WHERE added >= recipes.position
)
WHERE product_id IS NOT NULL
ORDER BY ALL
