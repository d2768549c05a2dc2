-- changed_footprints.sql: the footprints of rasters that differ, on both sides, as WKB in longitude/latitude
-- needs: changed_raster, state.raster · makes: one result: raster_id, old_footprint, new_footprint
SELECT changed_raster.raster_id, ST_AsWKB(old_version.footprint)::BLOB AS old_footprint, ST_AsWKB(new_version.footprint)::BLOB AS new_footprint
FROM changed_raster
LEFT JOIN state.raster AS old_version ON old_version.raster_key = old.raster_key
LEFT JOIN state.raster AS new_version ON new_version.raster_key = new.raster_key
ORDER BY changed_raster.raster_id;
