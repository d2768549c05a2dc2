"""Audit a release, or a folder that `checkout --to` wrote: what it says of itself against its files and its log.

- `run`          the checks in order, and the leakage of its split
- `contents`     the folder: its manifest, revision.json, tables, and how they are read
- `history`      the log: rebuilt from its segments, with all digests and tables
- `expected`     the rasters and labels that the log has, and the documents, written again from it
- `tables`       the tables against the files
- `documents`    Croissant, STAC, PROV and RO-Crate against the tables and the files
- `certificates` the leakage certificates against the split
- `signatures`   the signatures of the tag
- `licences`     the licences of the sources, and which conflict
- `layout`       the rasters of its split as samples
"""
