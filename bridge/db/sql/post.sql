-- Storing a message: sequence, message, chain and wakes for all recipients, in one call.
-- The caller holds the thread's row (FOR NO KEY UPDATE) and has judged what the thread becomes.
-- p_wakes: [{"agent_id", "wake_id", "delay_s", "reason"}], sorted by agent: an open wake has its target raised instead.
CREATE OR REPLACE FUNCTION bridge_store(
    p_workspace text, p_thread text, p_now timestamptz, p_message jsonb, p_wakes jsonb, p_policy jsonb
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_seq bigint;
    v_head bytea;
    v_created jsonb;
    v_to text[] := CASE WHEN jsonb_typeof(p_message->'to') = 'array'
        THEN ARRAY(SELECT jsonb_array_elements_text(p_message->'to')) END;
BEGIN
    -- The chain covers all that the message says, part by part: a part that is redacted is still proved by its digest.
    -- bridge/db/audit_proof.py puts the same header together from the stored row.
    UPDATE threads SET last_seq = last_seq + 1,
        message_head = sha256(coalesce(message_head, '\x'::bytea)
            || sha256(convert_to(jsonb_build_array(p_workspace, p_thread, last_seq + 1, p_message->>'message_id',
                (p_message->>'schema_version')::int, p_message->>'kind', p_message->'event'->>'type',
                p_message->>'sender', p_message->>'session', p_message->>'in_reply_to', v_to, p_message->>'to_role',
                coalesce((p_message->>'urgent')::boolean, false), p_message->>'request_id', p_message->>'traceparent',
                (extract(epoch FROM p_now) * 1000000)::bigint)::text, 'utf8'))
            || sha256(convert_to(coalesce(nullif(p_message->'event', 'null'::jsonb)::text, ''), 'utf8'))
            || sha256(convert_to(coalesce(nullif(p_message->'metadata', 'null'::jsonb)::text, ''), 'utf8'))
            || sha256(convert_to(p_message->>'body', 'utf8'))),
        updated_at = p_now
    WHERE thread_id = p_thread AND workspace_id = p_workspace
    RETURNING last_seq, message_head INTO STRICT v_seq, v_head;

    INSERT INTO messages (thread_id, seq, message_id, workspace_id, schema_version, kind, event_type, event, body,
        metadata, sender_agent_id, sender_session_id, in_reply_to, to_agents, to_role, urgent, request_id, traceparent,
        created_at, hash)
    VALUES (p_thread, v_seq, p_message->>'message_id', p_workspace, (p_message->>'schema_version')::int,
        p_message->>'kind', p_message->'event'->>'type', nullif(p_message->'event', 'null'::jsonb), p_message->>'body',
        nullif(p_message->'metadata', 'null'::jsonb), p_message->>'sender', p_message->>'session',
        p_message->>'in_reply_to', v_to, p_message->>'to_role', coalesce((p_message->>'urgent')::boolean, false),
        p_message->>'request_id', p_message->>'traceparent', p_now, v_head);

    WITH asked AS (
        SELECT w.agent_id, w.wake_id, w.reason, coalesce(w.delay_s, 0) AS delay_s, coalesce(w.moves_birth, false) AS moves_birth
        FROM jsonb_to_recordset(p_wakes) AS w(agent_id text, wake_id text, reason text, delay_s float8, moves_birth boolean)
    ), timed AS (
        SELECT a.*, coalesce(g.host, 'local') AS host,
            CASE WHEN a.reason <> 'first' THEN a.reason
                 WHEN g.probe_at IS NOT NULL THEN 'unreachable'
                 WHEN g.listening_until > p_now AND NOT coalesce((p_message->>'urgent')::boolean, false) THEN 'listening'
                 ELSE 'first' END AS why,
            p_now + make_interval(secs => CASE WHEN a.moves_birth THEN a.delay_s ELSE 0 END) AS born,
            g.probe_at
        FROM asked a LEFT JOIN agents g ON g.workspace_id = p_workspace AND g.agent_id = a.agent_id
    ), due AS (
        SELECT t.*, born + make_interval(secs => (p_policy->>'wake_life_s_max')::float8) AS dies_at,
            CASE why WHEN 'unreachable' THEN greatest(probe_at, born)
                     WHEN 'listening' THEN born + make_interval(secs => (p_policy->>'listen_grace_s')::float8)
                     ELSE p_now + make_interval(secs => delay_s) END AS due_at
        FROM timed t
    ), stored AS (
        INSERT INTO wakes AS w (wake_id, workspace_id, thread_id, agent_id, host, state, reason, target_seq, due_at,
            rung_until, dies_at, since, policy_version, traceparent, created_at, updated_at)
        SELECT wake_id, p_workspace, p_thread, agent_id, host, 'pending', why, v_seq, least(due_at, dies_at),
            CASE WHEN due_at <= p_now THEN due_at + interval '1 s' END, dies_at, p_now, (p_policy->>'version')::int,
            p_message->>'traceparent', p_now, p_now
        FROM due ORDER BY agent_id
        ON CONFLICT (thread_id, agent_id) WHERE state IN ('pending', 'delivering', 'touching', 'waiting')
        DO UPDATE SET target_seq = greatest(w.target_seq, excluded.target_seq), version = w.version + 1,
            -- A wake that an earlier message's delay holds back is not born yet: this one brings its birth forward.
            due_at = CASE WHEN w.reason = 'first' AND w.attempts = 0 AND w.state = 'pending' AND w.due_at > p_now
                THEN least(w.due_at, excluded.due_at) ELSE w.due_at END,
            dies_at = CASE WHEN w.reason = 'first' AND w.attempts = 0 AND w.state = 'pending' AND w.due_at > p_now
                THEN least(w.dies_at, excluded.dies_at) ELSE w.dies_at END,
            updated_at = greatest(w.updated_at, p_now)
        RETURNING w.wake_id, w.agent_id, w.state, w.reason, w.due_at, w.host, w.policy_version, (xmax = 0) AS born
    ), told AS (
        INSERT INTO wake_events (wake_id, n, workspace_id, event, from_state, to_state, reason, why, policy_version, at)
        SELECT wake_id, 1, p_workspace, 'opened', NULL, 'pending', reason,
            'message ' || v_seq || ' from ' || (p_message->>'sender'), policy_version, p_now
        FROM stored WHERE born
    )
    SELECT coalesce(jsonb_agg(jsonb_build_object('wake_id', wake_id, 'agent_id', agent_id, 'state', state,
        'reason', reason, 'host', host, 'born', born, 'due_now', due_at <= p_now) ORDER BY agent_id), '[]'::jsonb)
    INTO v_created FROM stored;

    RETURN jsonb_build_object('message_id', p_message->>'message_id', 'seq', v_seq, 'created_at', p_now,
        'wakes', v_created, 'sender_is_woken', EXISTS (
            SELECT FROM wakes WHERE workspace_id = p_workspace AND agent_id = p_message->>'sender'
                AND state IN ('pending', 'delivering', 'touching', 'waiting')) OR EXISTS (
            SELECT FROM agents WHERE workspace_id = p_workspace AND agent_id = p_message->>'sender'
                AND probe_at IS NOT NULL));
END $$;

-- The fast post: an active thread, a chat message, counters below every threshold, nothing that moves a cursor.
-- Answers {"refused": ...} where the guard gives no row, and then leaves nothing behind: the shell takes over.
CREATE OR REPLACE FUNCTION bridge_post(
    p_workspace text, p_thread text, p_message jsonb, p_wake_ids text[], p_route text, p_key text,
    p_request_hash bytea, p_policy jsonb
) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_thread threads%ROWTYPE;
    v_now timestamptz;
    v_turn int;
    v_human boolean;
    v_wakes jsonb;
    v_count int;
    v_answer jsonb;
    v_old idempotency_keys%ROWTYPE;
    v_sender text := p_message->>'sender';
BEGIN
    PERFORM set_config('app.workspace', p_workspace, true);
    IF p_key IS NOT NULL THEN
        INSERT INTO idempotency_keys (workspace_id, agent_id, route, key, request_hash, created_at)
        VALUES (p_workspace, v_sender, p_route, p_key, p_request_hash, bridge_now()) ON CONFLICT DO NOTHING;
        IF NOT FOUND THEN
            SELECT * INTO v_old FROM idempotency_keys WHERE workspace_id = p_workspace AND agent_id = v_sender
                AND route = p_route AND key = p_key;
            IF v_old.request_hash IS DISTINCT FROM p_request_hash THEN
                RETURN jsonb_build_object('refused', 'idempotency');
            END IF;
            RETURN jsonb_build_object('replayed', v_old.response);
        END IF;
    END IF;

    SELECT * INTO v_thread FROM threads WHERE thread_id = p_thread AND workspace_id = p_workspace FOR NO KEY UPDATE;
    v_now := greatest(bridge_now(), v_thread.updated_at);
    SELECT coalesce(a.is_human, false) INTO v_human FROM participants p
        LEFT JOIN agents a ON a.workspace_id = p.workspace_id AND a.agent_id = p.agent_id
        WHERE p.thread_id = p_thread AND p.agent_id = v_sender;
    IF v_thread.thread_id IS NULL OR v_human IS NULL OR v_thread.status <> 'active' THEN
        PERFORM bridge_forget_key(p_workspace, v_sender, p_route, p_key);
        RETURN jsonb_build_object('refused', 'guard');
    END IF;
    v_turn := CASE WHEN v_human THEN 0
        WHEN v_thread.last_sender IS NOT NULL AND v_thread.last_sender <> v_sender THEN v_thread.turns + 1
        ELSE v_thread.turns END;

    SELECT coalesce(jsonb_agg(jsonb_build_object('agent_id', r.agent_id, 'wake_id', p_wake_ids[r.i], 'reason', 'first',
            'delay_s', coalesce((p_message->>'delay_s')::float8, 0), 'moves_birth', true) ORDER BY r.agent_id), '[]'),
        count(*)
    INTO v_wakes, v_count
    FROM (
        SELECT agent_id, row_number() OVER (ORDER BY agent_id) AS i FROM participants
        WHERE thread_id = p_thread AND agent_id <> v_sender
            AND (jsonb_typeof(p_message->'to') IS DISTINCT FROM 'array' OR p_message->'to' ? agent_id)
            AND (p_message->>'to_role' IS NULL OR role = p_message->>'to_role')
    ) r;

    IF v_turn >= (p_policy->>'turns_max')::int * greatest(1, v_thread.participants - 1)
        OR v_count > (p_policy->>'fan_out_max')::int OR v_count > cardinality(p_wake_ids)
        OR (jsonb_typeof(p_message->'to') = 'array' AND v_count <> (
            SELECT count(DISTINCT x) FROM jsonb_array_elements_text(p_message->'to') x WHERE x <> v_sender))
        OR (p_message->>'to_role' IS NOT NULL AND v_count = 0) THEN
        PERFORM bridge_forget_key(p_workspace, v_sender, p_route, p_key);
        RETURN jsonb_build_object('refused', 'guard');
    END IF;

    UPDATE threads SET turns = v_turn, last_sender = v_sender,
        progress_at = CASE WHEN v_human THEN v_now ELSE progress_at END,
        stalled = stalled AND NOT v_human
    WHERE thread_id = p_thread;
    v_answer := bridge_store(p_workspace, p_thread, v_now, p_message, v_wakes, p_policy)
        || jsonb_build_object('thread_status', v_thread.status);
    IF p_key IS NOT NULL THEN
        UPDATE idempotency_keys SET response = v_answer WHERE workspace_id = p_workspace AND agent_id = v_sender
            AND route = p_route AND key = p_key;
    END IF;
    RETURN v_answer;
END $$;

-- A refused post keeps no key: the transaction's own insert is taken back.
CREATE OR REPLACE FUNCTION bridge_forget_key(p_workspace text, p_agent text, p_route text, p_key text) RETURNS void
LANGUAGE sql VOLATILE AS $$
    DELETE FROM idempotency_keys WHERE workspace_id = p_workspace AND agent_id = p_agent AND route = p_route
        AND key = p_key
$$;
