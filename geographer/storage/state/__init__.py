"""The state: tables that SQL derives from the log, with validity intervals. A deleted state is rebuilt, identical."""
