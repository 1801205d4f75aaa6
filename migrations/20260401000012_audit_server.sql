-- Outside a transaction, as all indexes on tables that everybody writes to.

-- The audit, newest first, whatever it is about.
CREATE INDEX CONCURRENTLY IF NOT EXISTS server_audit_event_newest ON audit_event (created DESC, id DESC);
