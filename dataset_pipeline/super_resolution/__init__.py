"""Super-resolution sets: tiles of stills at several scales, which of them stay, and the folders that trainers read."""
