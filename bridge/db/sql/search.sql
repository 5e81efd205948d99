-- Full text over messages. Under row-level security an operator such as @@ may not look at a row before the policy has,
-- so that a full text index is of no use to the app's role (187 ms against 0.24): one function reads for it, as a role of
-- its own that nobody can log in as, that sees nothing but what is searched, and that binds each row to the workspace of
-- the transaction through threads, which are under the same policy for it as for the app.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'wakebridge_search') THEN
        BEGIN CREATE ROLE wakebridge_search NOLOGIN NOBYPASSRLS; EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    END IF;
END $$;
GRANT wakebridge_search TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO wakebridge_search;
GRANT SELECT (thread_id, workspace_id, title) ON threads TO wakebridge_search;
GRANT SELECT (thread_id, workspace_id, agent_id) ON participants TO wakebridge_search;
GRANT SELECT (thread_id, seq, message_id, workspace_id, kind, event_type, event, body, sender_agent_id, created_at)
    ON messages TO wakebridge_search;
DROP POLICY IF EXISTS search ON threads;
CREATE POLICY search ON threads FOR SELECT TO wakebridge_search
    USING (workspace_id = nullif(current_setting('app.workspace', true), ''));
DROP POLICY IF EXISTS search ON participants;
CREATE POLICY search ON participants FOR SELECT TO wakebridge_search
    USING (workspace_id = nullif(current_setting('app.workspace', true), ''));
DROP POLICY IF EXISTS search ON messages;
CREATE POLICY search ON messages FOR SELECT TO wakebridge_search USING (true);

-- What is searched of a message: its body, and what its event says in words.
CREATE OR REPLACE FUNCTION bridge_search_text(p_body text, p_event jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT left(p_body, 65536) || left(coalesce(E'\n' || (p_event->>'text'), '') || coalesce(E'\n' || (p_event->>'file'), '')
        || coalesce(E'\n' || (p_event->>'commit'), '') || coalesce(E'\n' || (p_event->>'finding_id'), ''), 65536)
$$;

-- Words are what stands between blanks and punctuation, in paths, identifiers and addresses too. The workspace and the
-- thread are words as well, ones that no text can hold: another workspace's messages cost a search nothing.
CREATE OR REPLACE FUNCTION bridge_search_vector(p_workspace text, p_thread text, p_body text, p_event jsonb)
RETURNS tsvector LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT array_to_tsvector(ARRAY['w=' || p_workspace, 't=' || p_thread]) || to_tsvector('pg_catalog.simple'::regconfig,
        regexp_replace(public.bridge_search_text(p_body, p_event),
            '[][!"#$%&''()*+,./:;<=>?@\\^_`{|}~“”‘’«»…–—•→，、。：；！？（）\u00a0-]+', ' ', 'g'))
$$;

-- The messages that p_query (websearch syntax) finds, the newest first, after the mark. p_agent: only in threads that it
-- takes part in; NULL: in the whole workspace, which is always the transaction's. Membership comes first: the threads
-- are part of what the index is asked, and each row is joined with them once more.
CREATE OR REPLACE FUNCTION bridge_search(
    p_query text, p_agent text, p_thread text, p_sender text, p_kind text, p_since timestamptz, p_until timestamptz,
    p_at timestamptz, p_after text, p_limit integer
) RETURNS TABLE (
    message_id text, thread_id text, title text, seq bigint, kind text, event_type text, sender_agent_id text,
    created_at timestamptz, said text
) LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp SET plan_cache_mode = force_custom_plan AS $$
DECLARE
    v_workspace text := nullif(current_setting('app.workspace', true), '');
    v_threads text[];
    v_query tsquery := websearch_to_tsquery('pg_catalog.simple'::regconfig, p_query);
BEGIN
    IF v_workspace IS NULL OR numnode(v_query) = 0 THEN
        RETURN;
    END IF;
    SELECT array_agg(t.thread_id) INTO v_threads FROM (
        SELECT p.thread_id FROM public.participants p
        WHERE p.workspace_id = v_workspace AND p.agent_id = p_agent AND (p_thread IS NULL OR p.thread_id = p_thread) LIMIT 201
    ) t;
    IF p_agent IS NOT NULL AND v_threads IS NULL THEN
        RETURN;
    END IF;
    v_query := v_query && CASE
        WHEN p_thread IS NOT NULL THEN format('%L', 't=' || p_thread)::tsquery
        WHEN cardinality(v_threads) <= 200 THEN (
            SELECT string_agg(format('%L', 't=' || x), '|')::tsquery FROM unnest(v_threads) x)
        ELSE format('%L', 'w=' || v_workspace)::tsquery END;
    -- The index is asked first, whatever the planner thinks of it; texts are read of those alone that are shown.
    RETURN QUERY
    WITH hits AS MATERIALIZED (
        SELECT m.thread_id, m.seq, m.message_id, m.created_at FROM public.messages m
        WHERE public.bridge_search_vector(m.workspace_id, m.thread_id, m.body, m.event) @@ v_query
            AND m.workspace_id = v_workspace AND (p_thread IS NULL OR m.thread_id = p_thread)
            AND (p_sender IS NULL OR m.sender_agent_id = p_sender) AND (p_kind IS NULL OR m.kind = p_kind)
            AND (p_since IS NULL OR m.created_at >= p_since) AND (p_until IS NULL OR m.created_at < p_until)
            AND (p_at IS NULL OR (m.created_at, m.message_id) < (p_at, p_after))
    ), page AS (
        SELECT h.* FROM hits h JOIN public.threads t ON t.thread_id = h.thread_id AND t.workspace_id = v_workspace
        WHERE p_agent IS NULL OR EXISTS (
            SELECT FROM public.participants p WHERE p.thread_id = h.thread_id AND p.agent_id = p_agent)
        ORDER BY h.created_at DESC, h.message_id DESC LIMIT p_limit
    )
    SELECT m.message_id, m.thread_id, t.title, m.seq, m.kind, m.event_type, m.sender_agent_id, m.created_at,
        public.bridge_search_text(m.body, m.event)
    FROM page JOIN public.messages m ON m.thread_id = page.thread_id AND m.seq = page.seq
    JOIN public.threads t ON t.thread_id = page.thread_id
    ORDER BY m.created_at DESC, m.message_id DESC;
END $$;
REVOKE ALL ON FUNCTION bridge_search FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bridge_search TO wakebridge_app;
-- Whoever gives a function away must be let make one there, for that moment.
GRANT CREATE ON SCHEMA public TO wakebridge_search;
ALTER FUNCTION bridge_search OWNER TO wakebridge_search;
REVOKE CREATE ON SCHEMA public FROM wakebridge_search;
