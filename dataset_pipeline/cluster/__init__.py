"""Several machines on one project: Celery hands Dagster's runs to workers. Needs the extra [cluster]."""
