"""End the leaks of a split: change the fewest rasters so that no two linked rasters are in different parts.

- `repair`           the moves and exclusions for all rasters, as independent problems
- `problem`          one problem: rasters that may change, and what links them
- `minimum_cut`      exact solution of a problem with two parts
- `integer_program`  solution of a problem with more parts by HiGHS
- `heuristic`        a feasible solution where HiGHS finds none in time
"""
