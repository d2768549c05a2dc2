"""Operations: one package for each kind of change to a dataset, with its requests, events and plans.

They do not import each other.

- `create`   the first event of a dataset
- `add`      features, rasters, footprints (catalogue) and directories of GeoGrapher 1.0
- `remove`   features, rasters and recipes
- `rename`   give collections, recipes and classes other names
- `classes`  remap classes; assign classes from class probabilities
- `download` fetch rasters that show the features
- `cut`      cut chips from rasters
- `label`    make labels for rasters
- `split`    assign rasters to parts such as train, val and test, without leakage
- `import_dataset` take another dataset in
- `merge`    merge a branch, resolve conflicts, revert an event
- `tag`      name a revision, and sign it
- `attributes` set and remove named values that users keep with the dataset
- `run_command` run a command as an event
"""
