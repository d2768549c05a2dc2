"""Executors run batches of work: in this process, in local processes, or on the workers of a Dask cluster.

`executor` has the interface and `make_executor`; `task_files` what a function calls to open its files.
"""
