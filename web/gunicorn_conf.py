"""gunicorn's configuration: gevent, few workers, a stop that ends the waiting calls.

Rules of this file:

- It is loaded before gevent has patched anything: nothing here may import psycopg, or the app.
- The workers share their figures in a directory that is made anew at each start, unless whoever started this process
  shares a larger one.
"""

from __future__ import annotations

import resource
import shutil
from typing import Any

from bridge.config import load_settings, metrics_dir, share_metrics

_settings = load_settings()

bind = (
    f"[{_settings.bind}]:{_settings.port}" if ":" in _settings.bind else f"{_settings.bind}:{_settings.port}"
)
workers = _settings.web_workers
worker_class = "web.worker.ProblemWorker"
worker_connections = 4000
graceful_timeout = 5
timeout = 60
keepalive = 30
backlog = 1024
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 16_384
forwarded_allow_ips = ""
control_socket_disable = True
loglevel = "warning"
accesslog = None
proc_name = "wakebridge-web"

WATCH_S = 0.1
FILES_MIN = 4096

if metrics_dir() is None:
    _figures = _settings.run_dir / "web-metrics"
    shutil.rmtree(_figures, ignore_errors=True)
    _figures.mkdir(mode=0o700, parents=True)
    share_metrics(_figures)

_soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
if _soft < FILES_MIN:
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(FILES_MIN, _hard), _hard))


def post_worker_init(worker: Any) -> None:  # noqa: ANN401  gunicorn's own
    """End the waiting calls as soon as the worker is told to stop: they would hold it up for their whole wait."""
    import gevent  # noqa: PLC0415  after the fork alone

    from web.wsgi import services  # noqa: PLC0415

    services.listeners.start()

    def watch() -> None:
        while worker.alive:
            gevent.sleep(WATCH_S)
        services.listeners.close()

    gevent.spawn(watch)


def child_exit(server: Any, worker: Any) -> None:  # noqa: ANN401  gunicorn's own
    """The figures of what a dead worker was doing are over; what it counted stays."""
    del server
    from prometheus_client import multiprocess  # noqa: PLC0415  reads the environment when it is imported

    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
