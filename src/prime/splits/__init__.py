"""Which patients can serve a task, and how they are split into training, validation and test sets."""
