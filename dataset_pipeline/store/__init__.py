"""Where tables and pictures lie: schemas, atomic writes, pointers with provenance."""
