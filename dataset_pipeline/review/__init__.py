"""The page on which a person says who is who, and what goes into the set."""
