"""Sharing: what connects a dataset with other machines, remotes and DVC: garbage collection of its objects."""
