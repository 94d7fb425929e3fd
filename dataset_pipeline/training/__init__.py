"""The training set: which images, in which folders, how often each, and in which form a trainer reads them."""
