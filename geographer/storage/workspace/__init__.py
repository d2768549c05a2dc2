"""Provenance: the files of any revision brought back and checked, and the proof that nothing was altered."""
