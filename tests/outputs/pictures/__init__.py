"""Tests of pictures of chips."""
