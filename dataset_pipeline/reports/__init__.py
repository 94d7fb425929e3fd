"""What people ask afterwards: status, the account of a run, readiness of a set, explain, find, doctor."""
