"""The viewer: a page on this machine that shows a dataset at any revision; it only reads.

The order of imports, downwards:

- `server`          the web server on loopback: token, hosts, headers, threads
- `answers`         what each address answers, as JSON, tiles and pictures
- `session`         what the pages of one viewer share: map tables, pictures, differences
- `viewed_dataset`  the dataset, read by one thread at a time
- `map_tables`      features and rasters of all revisions in map coordinates, in memory
- `map_selection`   what the map and the lists show, from the parameters of an address
- `access`          who may ask: token, host, headers of answers
- `libraries`       the optional libraries, and where MapLibre's files are
- `static/`         the page: HTML, CSS and JavaScript
"""
