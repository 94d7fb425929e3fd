"""What everything else stands on: ids, paths, errors, progress and timing."""
