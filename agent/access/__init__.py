"""Who may do what: passwords, tokens, permission sets, and how log-ins are slowed down."""
