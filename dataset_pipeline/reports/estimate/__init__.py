"""How long a run will take on this machine and how much disk, measured on excerpts of its sources."""
