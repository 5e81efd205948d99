"""The app that gunicorn serves: one a worker process, made after the fork.

A database that could lose what it acknowledged, or whose clock is not the wall's, ends the process: an answer of 2xx
means committed. One that does not answer yet is waited for by /ready.
"""

from __future__ import annotations

import sys

import structlog
from flask import Flask

from bridge.adapters.limits import Limits
from bridge.adapters.logs import configure_logs
from bridge.adapters.pubsub import Listeners
from bridge.bootstrap import Container, build
from bridge.config import load_settings
from bridge.core.errors import BridgeError, Unavailable
from web.app import create_app
from web.routing import Services
from web.watch import SecurityWatch

log = structlog.get_logger("web")
REFUSED = 3
"""gunicorn gives up, rather than try again, when a worker ends with it while it boots."""


def services_of(container: Container) -> Services:
    """What the handlers work with, from what the process has."""
    return Services(
        settings=container.settings,
        deps=container.deps,
        tokens=container.tokens,
        listeners=Listeners(container.settings.broker_url_in_force),
        watch=SecurityWatch(),
        limits=Limits(container.settings.broker_url_in_force),
    )


def make() -> tuple[Flask, Services]:
    """The app and its services, from the environment's settings."""
    settings = load_settings()
    configure_logs(settings.log_level)
    container = build(settings, process="web")
    try:
        container.check_database()
    except Unavailable:
        log.warning("database.away", why="it does not answer yet; /ready says when it does")
    except BridgeError as error:
        log.critical("database.refused", why=error.detail, code=error.code)
        sys.exit(REFUSED)
    services = services_of(container)
    return create_app(services), services


app, services = make()
