-- What is old in the tables of changes is found without reading them whole; an index of blocks costs writers nothing.
CREATE INDEX IF NOT EXISTS server_execution_history_by_time ON execution_history USING brin ("time");
CREATE INDEX IF NOT EXISTS server_worker_history_by_time ON worker_history USING brin ("time");
CREATE INDEX IF NOT EXISTS server_sensor_process_history_by_time ON sensor_process_history USING brin ("time");
