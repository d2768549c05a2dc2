"""The example that `geographer demo` runs: glaciers of the Rocky Mountains, from vector files to a verified split."""
