-- 029_fully_visible.sql: no raster shows a part of a feature only: the macros that find such parts, which cost to plan, do nothing
-- needs: state.feature, state.raster · makes: macros is_partly_visible, visible_part, of this connection
-- only if: FROM (SELECT 1) WHERE NOT EXISTS (FROM state.raster WHERE reaches_limb) AND NOT EXISTS (FROM state.feature WHERE xmax - xmin > 20 OR ymax - ymin > 20)
CREATE OR REPLACE TEMP MACRO is_partly_visible(g, crs, crs_is_partial, reaches_limb) AS false;

CREATE OR REPLACE TEMP MACRO visible_part(g, footprint, crs) AS NULL::GEOMETRY;
