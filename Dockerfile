# syntax=docker/dockerfile:1
# Pin the base by digest in production: --build-arg PYTHON_IMAGE=python:3.13-slim@sha256:...
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS build
WORKDIR /build
COPY requirements.lock pyproject.toml README.md ./
RUN python -m venv /opt/vibe8 \
    && /opt/vibe8/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.lock
COPY requirements-build.lock ./
RUN python -m venv /opt/build \
    && /opt/build/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements-build.lock
COPY alembic alembic
COPY domain domain
COPY collectors collectors
COPY infrastructure infrastructure
COPY worker worker
RUN /opt/build/bin/hatchling build --target wheel --directory /build/dist \
    && /opt/vibe8/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps --no-index /build/dist/*.whl

FROM ${PYTHON_IMAGE}
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 10001 vibe8 \
    && useradd --system --uid 10001 --gid vibe8 --create-home --home-dir /home/vibe8 vibe8 \
    && install --directory --owner=vibe8 --group=vibe8 --mode=0700 /scratch
COPY --from=build /opt/vibe8 /opt/vibe8
ENV PATH=/opt/vibe8/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOG_FORMAT=json \
    SCRATCH_DIR=/scratch \
    STATUS_HOST=0.0.0.0 \
    STATUS_PORT=8080
# A number, so that Kubernetes can verify that the user is not root.
USER 10001:10001
WORKDIR /home/vibe8
EXPOSE 8080
# SIGTERM drains the worker: running jobs finish within the grace period or are requeued.
STOPSIGNAL SIGTERM
# Liveness, not readiness: a restart does not help a worker that cannot reach PostgreSQL.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 CMD ["python", "-c", "import http.client, os; probe = http.client.HTTPConnection('127.0.0.1', int(os.environ['STATUS_PORT']), timeout=5); probe.request('GET', '/livez'); raise SystemExit(probe.getresponse().status != 200)"]
CMD ["vibe8", "worker"]
