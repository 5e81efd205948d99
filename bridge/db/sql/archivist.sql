-- The role of `bridge retention` and `bridge backup`: used where the owner's DATABASE_URL is, by no process of the stack.
-- It cannot bypass row-level security. It reads one workspace a transaction, or all of them ('*': no workspace has such
-- a name); it writes one, and only what a thread consists of: archived as a whole, put back as a whole. Audit stays.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wakebridge_archivist') THEN
        BEGIN CREATE ROLE wakebridge_archivist NOLOGIN NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    END IF;
END $$;
GRANT wakebridge_archivist TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO wakebridge_archivist;
GRANT SELECT ON ALL TABLES IN SCHEMA public TO wakebridge_archivist;
DO $$
DECLARE t text;
BEGIN
    FOR t IN SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'workspace_id'
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace
    LOOP
        EXECUTE format('DROP POLICY IF EXISTS archivist ON %I', t);
        EXECUTE format('DROP POLICY IF EXISTS archivist_reads ON %I', t);
        EXECUTE format('CREATE POLICY archivist ON %I TO wakebridge_archivist USING (workspace_id = nullif(current_setting(''app.workspace'', true), ''''))', t);
        EXECUTE format('CREATE POLICY archivist_reads ON %I FOR SELECT TO wakebridge_archivist USING (current_setting(''app.workspace'', true) = ''*'')', t);
    END LOOP;
END $$;
GRANT INSERT, DELETE ON threads, participants, messages, findings, wakes, wake_events, attempts, attempt_wakes, runs
    TO wakebridge_archivist;
-- Whoever locks a row needs to be allowed to change it: the audit's heads, which it changes; and where there are none, a
-- column that the policy lets nobody change.
GRANT UPDATE (audit_n, audit_head) ON threads, wakes, runs TO wakebridge_archivist;
GRANT UPDATE (workspace_id) ON participants, findings, attempts TO wakebridge_archivist;
GRANT INSERT ON audit_events TO wakebridge_archivist;
