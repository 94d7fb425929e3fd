"""Pictures as arrays: reading every format, defects, crops, sizes, contact sheets. No model and no Dagster in here."""
