"""Write the release of a tag: a folder that a reader of the paper can check, cite and load.

- `write`       the order of all steps
- `layout`      the files, and what each is
- `facts`       what the log and the tables tell (with the SQL files)
- `sentences`   the facts in words: sampling, balance, bias, limits, methods
- `documents`   README.md, AGENTS.md, METHODS.md, DATASHEET.md
- `citation`    CITATION.cff, BibTeX, a reference in one line
- `croissant`   Croissant with GeoCroissant and Responsible AI
- `ro_crate`, `provenance`, `stac`   the same facts in RO-Crate, PROV and STAC
- `schemas`, `band_names`   the schemas of the events, the names of the bands
- `deposit`     the layout for Zenodo
"""
