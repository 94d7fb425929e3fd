"""What every asset has in common: what it declares, how its body is run, and what makes its tables stale."""
