-- What an action says of itself that the shared table has no column for; a row only where it says something.
CREATE TABLE server_action (
    action bigint PRIMARY KEY REFERENCES action (id) ON DELETE CASCADE,
    retry_abandoned boolean NOT NULL
);
