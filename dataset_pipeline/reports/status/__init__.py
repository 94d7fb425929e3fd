"""Where every episode stands in every asset."""
