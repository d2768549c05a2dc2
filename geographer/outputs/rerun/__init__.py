"""Rerun: make the derived files of a revision again in a scratch folder, and compare them with the recorded ones.

- `made_files`  the files of a revision, and the event that made each
- `scratch`     a folder outside the dataset with the recorded sources
- `replay`      plan the request of an event again at the revision before it, and build its files
- `compare`     a file beside the recorded one: the same bytes, the same pixels, or what differs
- `software`    which recorded version of GDAL, GEOS, PROJ … is not that of this machine
- `report`      the results as rows and as sentences
"""
