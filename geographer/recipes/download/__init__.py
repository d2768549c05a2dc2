"""`download`: the scenes that a dataset's features still lack, found in an archive, chosen, fetched and read.

- `recipe`   what is asked for, and what that means at a revision: which features lack scenes, which products are here
- `moments`  when that was, in UTC
- `finding`  few searches, and of what they find the fewest scenes that show everything
- `showing`  which scene shows which feature
- `plan`     the chosen products fetched and read, and the event
- `brought`  the source and the reader that this takes
- `origin`   what the log keeps of where a raster came from
"""
