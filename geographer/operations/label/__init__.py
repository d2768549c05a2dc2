"""The label recipes: what a raster shows, pixel by pixel or box by box."""
