"""The figures of the doorbell and of keeping time, counted where they happen.

A counter stands here once and is imported by whoever counts. Processes of one machine share a directory
(PROMETHEUS_MULTIPROC_DIR, set by whoever starts them), so that the web's scrape shows the workers' figures
too; without it each process counts for itself.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENESS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)

doorbells = Counter("wakebridge_doorbells", "Rings the broker confirmed.", ["source"])
publish_failures = Counter("wakebridge_publish_failures", "Rings that were not sent.", ["reason"])
breaker_state = Gauge("wakebridge_breaker_state", "0 closed, 1 open.", ["name"], multiprocess_mode="livemax")
commit_to_ring = Histogram(
    "wakebridge_commit_to_ring_seconds", "From the commit to the confirmed ring.", buckets=_LATENESS
)
ring_to_claim = Histogram(
    "wakebridge_ring_to_claim_seconds", "From the ring to the start of its task.", buckets=_LATENESS
)
ring_lateness = Histogram(
    "wakebridge_ring_lateness_seconds", "How long after its time a keeper rang a row.", buckets=_LATENESS
)
fire_lateness = Histogram(
    "wakebridge_fire_lateness_seconds",
    "How long after its time a row was claimed.",
    ["kind"],
    buckets=_LATENESS,
)
oldest_due_age = Gauge(
    "wakebridge_oldest_due_age_seconds", "Age of the oldest row that is due.", multiprocess_mode="livemax"
)
standby_executed = Counter("wakebridge_rows_executed_by_standby", "Rows a worker carried out without a ring.")
duplicates_absorbed = Counter(
    "wakebridge_duplicates_absorbed", "Rings for rows that somebody else had done, or that are not due."
)
fence_rejected = Counter("wakebridge_fence_rejected", "Outcomes refused: the hand no longer held the wake.")
lease_expired = Counter("wakebridge_lease_expired", "Leases that ended before their hand reported.")
wake_attempts = Counter("wakebridge_wake_attempts", "What became of tries to wake.", ["rung", "result"])
wakes_open = Gauge("wakebridge_wakes_open", "Open wakes.", ["state"], multiprocess_mode="livemostrecent")
message_to_wake = Histogram(
    "wakebridge_message_to_wake_seconds", "From a wake's birth to the line taken.", buckets=_LATENESS
)
wake_ack = Histogram(
    "wakebridge_wake_ack_seconds",
    "From a wake's birth to the cursor's ack, by the rung of its last try.",
    ["rung"],
    buckets=(*_LATENESS, 300.0, 900.0, 1800.0),
)
delivery_failures = Counter(
    "wakebridge_delivery_failures", "Wakes that failed: operators and senders were told."
)
loop_detections = Counter(
    "wakebridge_loop_detections", "Threads found going in circles, or standing still.", ["kind"]
)
escalations = Counter("wakebridge_escalations", "Threads that were escalated to a human.")
tick_age = Gauge(
    "wakebridge_tick_age_seconds", "Since a tick last ran.", ["tick"], multiprocess_mode="livemin"
)
canary = Gauge(
    "wakebridge_canary_seconds",
    "From a canary's row to its claim.",
    ["host"],
    multiprocess_mode="livemostrecent",
)

http_requests = Counter("wakebridge_http_requests", "Requests answered.", ["route", "method", "status"])
http_duration = Histogram(
    "wakebridge_http_request_duration_seconds",
    "From the first byte to the answer; calls that wait included.",
    ["route", "method"],
    buckets=_LATENESS,
)
messages_posted = Counter("wakebridge_messages_posted", "Messages stored, replays left out.", ["kind"])
read_duration = Histogram(
    "wakebridge_read_duration_seconds", "Reading a page of messages.", buckets=_LATENESS
)
security_events = Counter("wakebridge_security_events", "What nobody should try.", ["kind", "severity"])
rate_limited = Counter("wakebridge_rate_limited", "Calls refused because their bucket was empty.", ["bucket"])
rate_limit_store_failures = Counter(
    "wakebridge_rate_limit_store_failures", "Calls for which the shared store of the buckets did not answer."
)
