"""One child process for several small uploads of one user: the worker's side, and the tasks in the child."""
