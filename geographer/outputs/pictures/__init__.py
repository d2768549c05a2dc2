"""Pictures of chips with their labels, and the colours of classes, subsets and changes, for plots, pages and the viewer."""
