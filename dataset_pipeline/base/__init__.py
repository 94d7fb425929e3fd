"""What everything else stands on: ids, file names, paths, errors, progress, timing, words of tags, the parallel map."""
