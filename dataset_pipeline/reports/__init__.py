"""What people ask afterwards, and before: status, the account of a run, readiness of a set, diff, explain, find,
doctor, and what a run will cost."""
