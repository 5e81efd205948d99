"""The entry point of every Celery process: `celery -A tasks.celery worker|beat|flower`."""

from bridge.config import load_settings
from tasks.app import make_celery

app = make_celery(load_settings())
