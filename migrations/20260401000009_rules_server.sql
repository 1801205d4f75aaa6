-- What the rule processor of `attune server` keeps: which events wait for it, why a rule failed, which deliveries of a
-- webhook are known; and who is told when rules change.

-- The parts of `attune server` that run, or ran, on this database. Events wait for the processor only where there is one.
CREATE TABLE server_part (
    name text PRIMARY KEY,
    since timestamptz NOT NULL DEFAULT now()
);

-- An event waits until `processed` is set, in the transaction that writes what its rules start. No foreign key: the
-- key of `event` has its time in it.
CREATE TABLE server_event (
    event bigint PRIMARY KEY,
    created timestamptz NOT NULL DEFAULT now(),
    processed timestamptz,
    rules integer,
    matched integer,
    failed integer,
    note text
) WITH (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
CREATE INDEX server_event_waiting ON server_event (event) WHERE processed IS NULL;
CREATE INDEX server_event_processed ON server_event (processed) WHERE processed IS NOT NULL;

CREATE FUNCTION server_queue_event() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO server_event (event)
    SELECT NEW.id WHERE EXISTS (SELECT FROM server_part WHERE name = 'rules')
    ON CONFLICT DO NOTHING;
    RETURN NULL;
END
$$;
CREATE TRIGGER server_event_queued AFTER INSERT ON event
    FOR EACH ROW EXECUTE FUNCTION server_queue_event();

-- Why a rule whose turn it was started nothing.
CREATE TABLE server_enforcement (
    enforcement bigint PRIMARY KEY REFERENCES enforcement (id) ON DELETE CASCADE,
    stage text NOT NULL,
    error text NOT NULL,
    path text,
    kind text
);

-- A delivery of a webhook, by its own id or the hash of its body: the same again is the same event.
CREATE TABLE server_webhook_delivery (
    trigger bigint NOT NULL REFERENCES trigger (id) ON DELETE CASCADE,
    delivery text NOT NULL,
    event bigint,
    created timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (trigger, delivery)
);
CREATE INDEX server_webhook_delivery_created ON server_webhook_delivery (created);

-- Sensors and their workers hear of rules, triggers and sensors that change; the payload is the trigger's ref, empty
-- where it is about more than one.
CREATE FUNCTION server_notify_rules() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    refs text[] := '{}';
    ref text;
BEGIN
    IF TG_TABLE_NAME = 'sensor' THEN
        refs := '{""}';
    ELSIF TG_TABLE_NAME = 'rule' THEN
        IF TG_OP <> 'INSERT' THEN refs := refs || OLD.trigger_ref; END IF;
        IF TG_OP <> 'DELETE' THEN refs := refs || NEW.trigger_ref; END IF;
    ELSE
        IF TG_OP <> 'INSERT' THEN refs := refs || OLD.ref; END IF;
        IF TG_OP <> 'DELETE' THEN refs := refs || NEW.ref; END IF;
    END IF;
    FOR ref IN SELECT DISTINCT left(u, 1000) FROM unnest(refs) AS u LOOP
        PERFORM pg_notify('server_rules_changed', ref);
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER server_rule_changed AFTER INSERT OR UPDATE OR DELETE ON rule
    FOR EACH ROW EXECUTE FUNCTION server_notify_rules();
CREATE TRIGGER server_trigger_changed AFTER INSERT OR UPDATE OR DELETE ON trigger
    FOR EACH ROW EXECUTE FUNCTION server_notify_rules();
CREATE TRIGGER server_sensor_changed AFTER INSERT OR UPDATE OR DELETE ON sensor
    FOR EACH ROW EXECUTE FUNCTION server_notify_rules();

-- What an event costs grows with the rules that match it, not with those that there are.
CREATE INDEX server_rule_enabled ON rule (trigger_ref, id) WHERE enabled;
