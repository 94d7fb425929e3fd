"""Who is who: clustering crops into characters, the gallery of them, and recognising them again."""
