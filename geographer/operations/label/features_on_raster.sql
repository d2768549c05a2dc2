-- features_on_raster.sql: the features that the query {features} selects, as WKB in the CRS of a raster, by the expression {geometry}
-- needs: macros.sql, state.feature, the parameters of the expression
-- · makes: one result: feature_id, class, wkb, properties, valid_from
SELECT feature_id, class, ST_AsWKB(g)::BLOB AS wkb, properties, valid_from
FROM (SELECT *, {geometry} AS g FROM ({features}))
WHERE g IS NOT NULL
ORDER BY feature_key;
