"""Write executions: claim them, record how they ended, announce both; nothing that was reported is lost."""
