"""Pictures of chips with labels, and the palette of classes, subsets and changes: for plots, pages and the viewer."""
