-- known_names.sql: which names of a selection either side has, and the splits that have the part $subset
-- needs: tables of the state, $class, $collection, $subset, $split (null: any), $ids, $old, $new ·
-- makes: one result: kind (class, collection, id, split), name, is_known
WITH side AS (SELECT unnest([$old, $new]) AS moment)
SELECT 'class' AS kind, $class AS name, EXISTS (
    FROM state.class, side WHERE class = $class AND valid_from <= moment AND valid_to > moment) OR EXISTS (
    FROM state.feature, side WHERE class = $class AND valid_from <= moment AND valid_to > moment) AS is_known
WHERE $class IS NOT NULL
UNION ALL
SELECT 'collection', $collection, EXISTS (
    FROM state.raster, side WHERE collection = $collection AND valid_from <= moment AND valid_to > moment)
WHERE $collection IS NOT NULL
UNION ALL
SELECT 'id', id, id IN (SELECT feature_id FROM state.feature) OR id IN (SELECT raster_id FROM state.raster)
                 OR id IN (SELECT class FROM state.class) OR id IN (SELECT name FROM state.recipe)
                 OR id IN (SELECT label FROM state.label) OR id IN (SELECT split FROM state.split)
FROM (SELECT unnest($ids::VARCHAR[]) AS id)
UNION ALL
SELECT DISTINCT 'split', split, true FROM state.split, side
WHERE part = $subset AND split = coalesce($split, split) AND valid_from <= moment AND valid_to > moment
ORDER BY ALL;
