"""Pure decisions about cuts: which windows of which rasters become chips."""
