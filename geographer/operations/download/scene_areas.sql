-- scene_areas.sql: the area of each scene in longitude/latitude, for covering features by several scenes
-- needs: scene_geometry · makes: one result: area (WKB)
SELECT ST_AsWKB(CASE WHEN outline_lonlat IS NULL THEN footprint WHEN is_full_scene THEN outline_lonlat
                     ELSE ST_Intersection(outline_lonlat, footprint) END)::BLOB AS area
FROM scene_geometry ORDER BY scene_index
