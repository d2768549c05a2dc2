"""`download`: the scenes that a dataset's features still lack, found in an archive, chosen, fetched and read.

- `recipe`   what is asked for, and what that means at a revision: which features lack scenes, which products are here
- `moments`  when that was, in UTC
- `finding`  few searches, and of what they find the fewest scenes that show everything
- `plan`     the chosen products fetched and read, and the event
"""
