-- Outside a transaction: these stand on a table that everybody writes to, which must not wait for them.

-- The demand of what waits: which action, and which overrides of its placement. The dispatcher walks over distinct ones.
CREATE INDEX CONCURRENTLY IF NOT EXISTS server_execution_requested ON execution
    (action, md5(coalesce(worker_selector::text, '') || ';' || coalesce(worker_tolerations::text, '') || ';'
                 || coalesce(worker_affinity::text, '')), id)
    WHERE status = 'requested';

-- What workers have in hand.
CREATE INDEX CONCURRENTLY IF NOT EXISTS server_execution_in_hand ON execution (worker, status, updated)
    WHERE status IN ('scheduled', 'running', 'canceling');

-- What another scheduler may have left half done.
CREATE INDEX CONCURRENTLY IF NOT EXISTS server_execution_scheduling ON execution (updated) WHERE status = 'scheduling';

-- Pages of executions, newest first, from any place on.
CREATE INDEX CONCURRENTLY IF NOT EXISTS server_execution_newest ON execution (created DESC, id DESC);
