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
    && useradd --system --uid 10001 --create-home --home-dir /home/vibe8 vibe8 \
    && install --directory --owner=vibe8 --mode=0700 /scratch
COPY --from=build /opt/vibe8 /opt/vibe8
ENV PATH=/opt/vibe8/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    LOG_FORMAT=json \
    SCRATCH_DIR=/scratch
USER vibe8
WORKDIR /home/vibe8
# SIGTERM drains: running jobs finish within the grace period or are handed back.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=10s --start-period=20s CMD ["vibe8", "doctor", "--quiet"]
CMD ["vibe8", "worker"]
