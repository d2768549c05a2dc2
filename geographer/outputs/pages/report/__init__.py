"""The report of a revision: the page that a reviewer opens, made from the facts of releases, certificates and reruns.

- `write`            the order of all steps
- `checks`           what was checked, what was not, what failed; the verdict in words
- `report_table`     a table of the page
- `overview`         what the dataset is: description, counts, digests
- `timeline`         tags, and events by kind
- `balance`          classes and labelled objects by subset
- `leakage`          certificates of splits, computed here or given as files
- `examples`         which chips are shown, and their pictures
- `sources`          where features and rasters come from, and under which licences
- `steps`            recipes, outside steps, versions of software
- `reproducibility`  which files can be made again, what is missing or withdrawn, signatures, given reruns
- `limits`           what the authors and the data say of limits, outdated labels, conflicts, reviews
- `citing`           how to cite, and the commands that check
"""
