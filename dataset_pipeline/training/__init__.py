"""The training set: which images it has, in which folders (concepts), with how many repeats, and its exporters."""
