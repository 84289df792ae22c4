"""The results of an evaluation as documents for readers and other programs."""
