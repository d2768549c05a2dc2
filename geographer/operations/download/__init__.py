"""`download`: the scenes that a dataset's features still lack, found in an archive, chosen, fetched and read.

- `asked`    what is asked for, of which archive
- `recipe`   what that means at a revision: which features lack scenes, which products are here
- `plan`     what is chosen; its making, and the event
- `finding`  few searches, and of what they find the fewest scenes that show everything
- `showing`  which scene shows which feature
- `bringing` the chosen products fetched and read, each whatever becomes of the others
- `archive`, `reading`  the source and the reader that this takes
- `origin`   what the log keeps of where a raster came from
- `moments`  times, in UTC
"""
