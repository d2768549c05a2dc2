-- known.sql: the products that $collection has, and those that its download recipes brought before a person removed them
SELECT DISTINCT properties->>'$.product_id' AS product_id, properties
FROM (
    SELECT properties FROM raster_now WHERE collection = $collection
    UNION ALL
    SELECT properties
    FROM (SELECT properties, recipe AS name, position AS added FROM log.raster_change
          WHERE change = 'added' AND collection = $collection AND position <= getvariable('position')) AS change
    JOIN recipes USING (name)
    -- A recipe that was removed and declared anew begins anew.
    WHERE added >= recipes.position
)
WHERE product_id IS NOT NULL
ORDER BY ALL
