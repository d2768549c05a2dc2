"""Partial clones: which files a clone takes, which ones it lacks on purpose, and what the workspace shows of them."""
