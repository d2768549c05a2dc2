"""What every layer uses: errors, values, plugins, executors, atomic files, locks, retries."""
