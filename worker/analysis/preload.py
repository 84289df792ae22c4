"""What the zygote does before it forks children: the modules it imports, and the function it calls."""

PRELOAD = ("worker.analysis.child_tasks", "worker.analysis.shared_child.tasks")
WARM_UP = "worker.analysis.child_tasks:warm_up"
