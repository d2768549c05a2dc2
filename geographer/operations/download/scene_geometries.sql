-- scene_geometries.sql: where each scene has pixels. `outline_lonlat` is the outline as the state derives a raster's footprint;
-- `is_full_scene` says that the stated footprint has $full_fraction of the outline's area, so that its simplified edges are ignored
-- needs: scene_input, macros.sql, $full_fraction · makes: temp table scene_geometry: scene_index, footprint, outline, crs, splits_at_antimeridian, crosses_180, outline_lonlat, is_full_scene, search_box
CREATE OR REPLACE TEMP TABLE scene_geometry AS
WITH crs_property AS (
    SELECT crs, is_lonlat, is_lonlat OR crs_splits_at_antimeridian(crs) AS splits_at_antimeridian
    FROM (SELECT crs, is_lonlat_crs(crs) AS is_lonlat
          -- Scenes with an unknown CRS, or an outline without a CRS, are located by their footprint only.
          FROM (SELECT DISTINCT crs FROM scene_input) WHERE TRY(reproject(ST_Point(1, 1), crs, 'EPSG:4326')) IS NOT NULL)
), scene AS (
    SELECT scene_index, ST_MakeValid(ST_GeomFromWKB(footprint)) AS footprint, if(has_outline, scene_input.crs, NULL) AS crs,
           splits_at_antimeridian, is_lonlat, if(has_outline, ST_GeomFromWKB(outline), NULL) AS outline
    FROM (SELECT *, outline IS NOT NULL AND crs_property.crs IS NOT NULL AS has_outline
          FROM scene_input LEFT JOIN crs_property USING (crs)) AS scene_input
), outline_corners AS MATERIALIZED (
    SELECT *, vertex_xs(border) AS xs, vertex_ys(border) AS ys
    FROM (SELECT *, CASE WHEN ST_GeometryType(outline) = 'POLYGON' THEN ST_ExteriorRing(outline) END AS border FROM scene)
), outline_ring AS (
    SELECT *, reproject(make_line(densify_coords(xs), densify_coords(ys)), crs, 'EPSG:4326') AS ring FROM outline_corners
), ring_lonlat AS MATERIALIZED (
    SELECT *, vertex_xs(ring) AS lons, vertex_ys(ring) AS lats FROM outline_ring
), continuous_ring AS (
    SELECT * REPLACE (make_lons_continuous(lons, max_lon_step(lons) > 180) AS lons) FROM ring_lonlat
), ring_property AS MATERIALIZED (
    -- A ring around a pole is still discontinuous: such a scene counts by its outline, not by its footprint.
    SELECT *, isfinite(list_sum(lons) + list_sum(lats)) AS is_finite, is_finite AND max_lon_step(lons) > 180 AS is_polar,
           ST_Area(reproject(footprint, 'EPSG:4326', crs)) AS footprint_area
    FROM continuous_ring
), scene_polygon AS (
    SELECT *, CASE WHEN NOT is_finite THEN NULL
                   WHEN NOT is_polar AND list_min(lons) >= -180 AND list_max(lons) <= 180 THEN make_polygon(lons, lats)
                   WHEN NOT is_polar THEN split_at_antimeridian(make_polygon(lons, lats))
                   WHEN list_min(lats) > 0 THEN ST_MakeEnvelope(-180, list_min(lats), 180, 90)
                   ELSE ST_MakeEnvelope(-180, -90, 180, list_max(lats)) END AS polygon
    FROM ring_property
)
SELECT scene_index, footprint, outline, crs, splits_at_antimeridian, if(is_polar, NULL, polygon) AS outline_lonlat,
       coalesce(is_lonlat AND (ST_XMin(outline) < -180 OR ST_XMax(outline) > 180), false) AS crosses_180,
       coalesce(is_polar OR (isfinite(footprint_area) AND footprint_area >= $full_fraction * ST_Area(outline)), false) AS is_full_scene,
       ST_Expand(ST_Extent(ST_Collect(list_filter([footprint, polygon], lambda part: part IS NOT NULL))), 0.05) AS search_box
FROM scene_polygon;
