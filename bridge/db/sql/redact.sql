-- The one way in which a stored message changes: what its sender wrote goes, the digests of it stay, once and for good.
-- It runs as the owner, because the app may not update messages; so it looks at the workspace of the transaction itself.
-- It writes no audit event: a redaction that has none is what `bridge audit verify` calls a change.
CREATE OR REPLACE FUNCTION bridge_redact(p_thread text, p_seq bigint, p_by text, p_at timestamptz) RETURNS jsonb
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp AS $$
    UPDATE messages SET redacted_at = p_at, redacted_by = p_by,
        body_sha256 = sha256(convert_to(body, 'utf8')), body = '',
        event_sha256 = sha256(convert_to(coalesce(event::text, ''), 'utf8')),
        event = CASE WHEN event IS NOT NULL THEN jsonb_build_object('type', event_type) END,
        metadata_sha256 = sha256(convert_to(coalesce(metadata::text, ''), 'utf8')), metadata = NULL
    WHERE workspace_id = nullif(current_setting('app.workspace', true), '') AND thread_id = p_thread AND seq = p_seq
        AND redacted_at IS NULL
    RETURNING jsonb_build_object('message_id', message_id, 'body_sha256', encode(body_sha256, 'hex'),
        'event_sha256', encode(event_sha256, 'hex'), 'metadata_sha256', encode(metadata_sha256, 'hex'))
$$;
REVOKE EXECUTE ON FUNCTION bridge_redact(text, bigint, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION bridge_redact(text, bigint, text, timestamptz) TO wakebridge_app;
