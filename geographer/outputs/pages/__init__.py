"""Pages: self-contained HTML files that need neither a network nor a server.

- `page`     make a page from a template, and write it to a file
- `map`      a map for a page, drawn by Bokeh
- `diff`     the page of a difference of two revisions
- `report`   the page for those who review a dataset
"""
