"""The programs that make pictures from text, one module for each `[generator] backend`."""
