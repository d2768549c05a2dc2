"""What was kept elsewhere: another dataset, or a directory of the previous library, planned as one event."""
