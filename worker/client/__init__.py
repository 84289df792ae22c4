"""What an API imports: submit, watch, take, cancel; and the history of runs."""
