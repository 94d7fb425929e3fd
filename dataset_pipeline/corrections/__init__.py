"""What a person said about pictures and characters, kept beside the store, and what it comes to."""
