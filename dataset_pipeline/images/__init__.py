"""Rules about pictures: near-duplicates, crops, sizes, sheets. No model and no Dagster in here."""
