"""Audit a dataset of any layout, or a release: leakage between its subsets, damaged files, labels that contradict.

- `run`          audit a folder: recognise its layout, read its images, run the checks, return the report
- `samples`      a sample (an image file with its subset), and the layout that a reader makes of a folder
- `folder_index` the files of a folder by path, name and stem; what names of subsets and of label files look like
- `layouts`      one module for each layout: how it names images, subsets, classes and objects
- `image_facts`  read every image once, on one core or several
- `checks`       one module for each level or kind of fault
- `leaks`        pairs of samples in different subsets that leak, each pair once, with all ways in which it leaks
- `report`       findings, checks with their verdicts, and the text and HTML of a report
- `release`      the checks of a release or an exported folder
"""
