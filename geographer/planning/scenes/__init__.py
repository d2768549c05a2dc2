"""Which scenes of an archive a dataset lacks: where to search for them, and which of those found to fetch.

- `searches`  few boxes to search for many features
- `pieces`    what a feature is made of when several scenes may show it together
- `twins`     processings of one acquisition, of which the newest counts
- `choice`    the fewest scenes that show all features, and of those the cheapest
"""
