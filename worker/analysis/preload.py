"""The modules that a zygote imports, and the function that it calls, before it forks a child."""

PRELOAD = ("worker.analysis.child_tasks",)
WARM_UP = "worker.analysis.child_tasks:warm_up"
