-- Two roles that cannot bypass row-level security. The app sees one workspace a transaction; the keeper sees, of open
-- wakes only, what it takes to ring them. Roles belong to the cluster, so they may exist already.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wakebridge_app') THEN
        BEGIN CREATE ROLE wakebridge_app NOLOGIN NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wakebridge_keeper') THEN
        BEGIN CREATE ROLE wakebridge_keeper NOLOGIN NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    END IF;
END $$;
GRANT wakebridge_app, wakebridge_keeper TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO wakebridge_app, wakebridge_keeper;
DO $$
DECLARE t text;
BEGIN
    FOR t IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', t);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', t);
        EXECUTE format('DROP POLICY IF EXISTS tenant ON %I', t);
        EXECUTE format('CREATE POLICY tenant ON %I TO wakebridge_app USING (workspace_id = nullif(current_setting(''app.workspace'', true), ''''))', t);
        EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO wakebridge_app', t);
    END LOOP;
END $$;
REVOKE UPDATE, DELETE ON audit_events, audit_anchors, audit_leaves, messages, wake_events FROM wakebridge_app;
GRANT SELECT, INSERT, UPDATE ON hosts, slots, ticks TO wakebridge_app;
GRANT SELECT ON alembic_version TO wakebridge_app;
GRANT SELECT (wake_id, workspace_id, agent_id, host, state, reason, since, accepted_at, due_at, rung_until),
    UPDATE (rung_until) ON wakes TO wakebridge_keeper;
DROP POLICY IF EXISTS keeper ON wakes;
CREATE POLICY keeper ON wakes TO wakebridge_keeper
    USING (state IN ('pending', 'delivering', 'touching', 'waiting'));
GRANT SELECT (workspace_id) ON workspaces TO wakebridge_keeper;
DROP POLICY IF EXISTS keeper ON workspaces;
CREATE POLICY keeper ON workspaces FOR SELECT TO wakebridge_keeper USING (true);
GRANT SELECT, INSERT, UPDATE ON hosts, ticks TO wakebridge_keeper;
-- Of open runs the keeper sees where their processes are, never what they are for.
GRANT SELECT (run_id, workspace_id, agent_id, host, worker, state, boot_id, shim_pid, pid, pid_started, begun_at, kill_at,
    end_asked_at, why) ON runs TO wakebridge_keeper;
DROP POLICY IF EXISTS keeper ON runs;
CREATE POLICY keeper ON runs FOR SELECT TO wakebridge_keeper USING (state <> 'ended');
