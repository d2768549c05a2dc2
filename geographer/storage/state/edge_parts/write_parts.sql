-- write_parts.sql: the features of each part, and the rasters of all, as Parquet files in {folder}, which workers read
-- needs: state.feature, state.raster, edge_part_cell, $after · makes: files, dropped temp table edge_part_cell
COPY (
    SELECT part, feature_key, ST_AsWKB(geometry)::BLOB AS geometry, ST_AsWKB(native)::BLOB AS native, crs, xmin, ymin, xmax, ymax,
           valid_from, valid_to
    FROM (SELECT *, ST_Hilbert((xmin + xmax) / 2, (ymin + ymax) / 2, (SELECT extent FROM edge_part_cell LIMIT 1)) >> 12 AS cell
          FROM state.feature
          WHERE valid_to > $after AND (valid_from > $after OR EXISTS (FROM state.raster WHERE valid_from > $after)))
    JOIN edge_part_cell USING (cell)
) TO '{folder}/features' (FORMAT parquet, PARTITION_BY (part), ROW_GROUP_SIZE 122880);

COPY (
    SELECT * EXCLUDE (path, storage, md5, sha256, pixel_digest, properties, row_digest)
             REPLACE (ST_AsWKB(outline)::BLOB AS outline, ST_AsWKB(footprint)::BLOB AS footprint)
    FROM state.raster
    WHERE valid_to > $after AND (valid_from > $after OR EXISTS (FROM state.feature WHERE valid_from > $after))
    ORDER BY bbox_xmin, bbox_ymin
) TO '{folder}/rasters.parquet' (FORMAT parquet);

DROP TABLE edge_part_cell;
