"""Archives that rasters are downloaded from, each behind the `Source` interface of `base`: `eodag` and `alos`."""
