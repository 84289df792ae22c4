"""What is made of the numbers of a run for its readers."""
