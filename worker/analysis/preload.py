"""The modules that a zygote imports before it forks a child."""

PRELOAD = ("worker.analysis.child_tasks",)
