"""What is written down: strict facts, durable files, signed notes, chained logs, and the time."""
