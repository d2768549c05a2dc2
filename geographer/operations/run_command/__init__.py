"""Run a command: an outside step, such as a script or a model, becomes an event with its inputs, code and outputs.

- `request`        the request and its plan: run the command, take its outputs in
- `events`         the event
- `execute`        run the command; end it if geographer is interrupted
- `files`          the declared paths as files with digests
- `code_revision`  the Git commit of the working folder
- `outputs`        output files as rows of rasters or labels
- `replay`         run a recorded command again in a scratch folder
"""
