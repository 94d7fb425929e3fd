"""From a folder to episodes: what is a source, what it is called, and what arrives, moves or goes."""
