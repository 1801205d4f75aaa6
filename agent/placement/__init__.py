"""Which worker can take an execution, which of them should, and why the others can't (pure)."""
