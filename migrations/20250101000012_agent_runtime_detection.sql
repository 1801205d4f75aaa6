-- Agents find runtimes by themselves: which rows they made and what they found, and the other names of a runtime by
-- which they recognise one that is already there.

ALTER TABLE runtime
    ADD COLUMN auto_detected boolean NOT NULL DEFAULT false,
    ADD COLUMN detection_config jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN aliases text[] NOT NULL DEFAULT '{}';

CREATE INDEX idx_runtime_auto_detected ON runtime (auto_detected);
CREATE INDEX idx_runtime_detection_config ON runtime USING gin (detection_config);
CREATE INDEX idx_runtime_aliases ON runtime USING gin (aliases);
