"""Run one execution, from claim to report."""
