"""A drawn cartoon world: characters, places and episodes whose every box, name and cut is known."""
