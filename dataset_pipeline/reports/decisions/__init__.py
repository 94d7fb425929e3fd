"""Each decision about an image in one line: its value against the limit. Pure functions of what `explain` gathered."""
