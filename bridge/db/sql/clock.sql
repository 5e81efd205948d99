-- The one clock. In production the wall clock of the database at the moment of the call, never of the
-- transaction's start: that was a second stale after a second's wait for a lock.
-- Test and rehearsal databases replace this function by epoch + rate; a production process refuses such a database.
CREATE OR REPLACE FUNCTION bridge_now() RETURNS timestamptz
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$ SELECT clock_timestamp() $$;
