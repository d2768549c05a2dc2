-- known.sql: the products that $collection has, and those that the recipe $recipe brought before a person removed them
WITH since AS (SELECT position FROM recipes WHERE name = $recipe)
SELECT DISTINCT properties->>'$.product_id' AS product_id, properties
FROM (
    SELECT properties FROM raster_now WHERE collection = $collection
    UNION ALL
    SELECT properties FROM log.raster_change
    WHERE change = 'added' AND recipe = $recipe AND collection = $collection AND position <= getvariable('position')
      AND position >= (FROM since)
)
WHERE product_id IS NOT NULL
ORDER BY ALL
