-- read_part.sql: the features of a part, and the rasters whose boxes meet the box around these, as tables of a state in memory
-- needs: state.feature, state.raster, $features, $rasters · makes: rows in state.feature, state.raster
INSERT INTO state.feature BY NAME
SELECT * REPLACE (ST_GeomFromWKB(geometry) AS geometry, ST_GeomFromWKB(native) AS native)
FROM read_parquet($features, hive_partitioning := false);

INSERT INTO state.raster BY NAME
SELECT raster.* REPLACE (ST_GeomFromWKB(outline) AS outline, ST_GeomFromWKB(footprint) AS footprint)
FROM read_parquet($rasters) AS raster,
     (SELECT min(xmin) AS west, min(ymin) AS south, max(xmax) AS east, max(ymax) AS north FROM state.feature)
WHERE bbox_ymin <= north AND bbox_ymax >= south
      AND ((bbox_xmin <= east AND bbox_xmax >= west) OR (bbox_xmin + lon_shift <= east AND bbox_xmax + lon_shift >= west));
