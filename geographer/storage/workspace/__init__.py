"""The workspace: check out a revision's files, mark which revision it has, verify log and files."""
