"""The task backend that runs tasks in the process that enqueues them."""
