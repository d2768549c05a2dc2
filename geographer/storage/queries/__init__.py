"""Queries of one revision: its tables as views, filters, related objects, and user SQL."""
