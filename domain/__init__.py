"""Pure words: what a job, a source, a metric and a severity are. No I/O, no third party, no clock."""
