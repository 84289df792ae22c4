"""What a run says: the collectors' report, scores, severities, the file tree, package health."""
