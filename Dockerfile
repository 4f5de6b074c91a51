# One image for every role: `serve` (default), `runscheduler`, `migrate`, `agent`.
#   docker build --tag ollama-bridge:0.1.0 .

FROM python:3.13.14-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
RUN python -m venv /app/venv
# The lock file alone first: a changed line of code installs nothing again.
COPY requirements/base.txt requirements/base.txt
RUN /app/venv/bin/python -m pip install --require-hashes --only-binary :all: -r requirements/base.txt
COPY manage.py manage.py
COPY bridge/ bridge/
COPY scheduler/ scheduler/
COPY dashboard/ dashboard/
COPY templates/ templates/
# Compiled now, because the file system is read-only where it runs.
RUN /app/venv/bin/python -m compileall -q bridge scheduler dashboard

FROM python:3.13.14-slim
LABEL org.opencontainers.image.title="Ollama Bridge" \
      org.opencontainers.image.description="Keys, admission, VRAM scheduling and accounting in front of Ollama" \
      org.opencontainers.image.version="0.1.0"
# A number and not a name, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 bridge \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin bridge \
 && install --directory --owner=10001 --group=10001 --mode=0700 /data
COPY --from=build /app /app
WORKDIR /app
ENV PATH=/app/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    BRIDGE_DATA_DIR=/data \
    BRIDGE_HOST=0.0.0.0
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "manage.py", "healthcheck"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]
