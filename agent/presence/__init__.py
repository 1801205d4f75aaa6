"""Tell the control plane that this worker exists."""
