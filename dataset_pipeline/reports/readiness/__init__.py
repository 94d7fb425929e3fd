"""Whether a set is fit to train on, as plain JSON and as a page."""
