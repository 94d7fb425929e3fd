"""What differs between two sets: read from folders and the store, and shown as text and as a page."""
