"""What came out of an action: what it printed, its log files, its result."""
