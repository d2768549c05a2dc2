"""The edges in parts: each worker joins the features of one part, by the same SQL files as the whole."""
