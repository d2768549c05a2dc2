"""Annotations in pixel coordinates as features."""
