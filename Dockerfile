# syntax=docker/dockerfile:1
# One image for every process of the service; compose.yaml says which one a container runs.

# --- builder: the locked packages, each checked against its hash ---------------------------------
FROM python:3.13-slim AS builder

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
COPY requirements.lock /tmp/requirements.lock
# Wheels only: the slim image has no compiler, and a source build would not be what was locked and tested.
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements.lock
# The project runs from its source tree (below), because its migrations stand beside its packages.
RUN printf '#!/opt/venv/bin/python\nfrom bridge.cli.app import main\n\nmain()\n' > /opt/venv/bin/bridge \
    && chmod 0755 /opt/venv/bin/bridge

# --- the image ----------------------------------------------------------------------------------
FROM python:3.13-slim

# A fixed id, so that volumes keep their owner from one image to the next. The folders are made here because
# a new named volume takes owner and mode from the image: signing/ goes to the web process alone, host/ to the host's
# worker.
RUN groupadd --gid 10001 wakebridge \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin wakebridge \
    && install -d -m 0700 -o 10001 -g 10001 /var/lib/wakebridge \
        /var/lib/wakebridge/signing /var/lib/wakebridge/host \
    && install -d -m 0755 -o 10001 -g 10001 /var/lib/wakebridge/public

COPY --from=builder /opt/venv /opt/venv
COPY pyproject.toml /app/
COPY migrations /app/migrations
COPY bridge /app/bridge
COPY tasks /app/tasks
COPY web /app/web

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_DATA_DIR=/var/lib/wakebridge \
    BRIDGE_RUN_DIR=/tmp/wakebridge
WORKDIR /app
USER 10001:10001
EXPOSE 8765
STOPSIGNAL SIGTERM
CMD ["python", "-m", "gunicorn", "-c", "python:web.gunicorn_conf", "web.wsgi:app"]
