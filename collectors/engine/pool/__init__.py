"""Execution of units of work: in disposable processes, or in this one."""
