# One image: the server and its dependencies, run by a user without privileges.
#
#   docker build -t objstore .
#   docker run -p 9000:9000 -v objstore-data:/data objstore
#
# Real drives: mount each one and name them all, e.g. `-v /mnt/d1:/d1 … objstore serve /d1 /d2 …`.

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md ./
COPY objstore ./objstore
RUN python -m venv /opt/objstore \
    && /opt/objstore/bin/pip install --no-cache-dir --prefer-binary '.[targets]'

FROM python:3.13-slim
COPY --from=build /opt/objstore /opt/objstore
RUN useradd --system --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin objstore \
    && install --directory --owner=objstore --group=objstore --mode=0700 /data
ENV PATH=/opt/objstore/bin:$PATH \
    OBJSTORE_ADDRESS=0.0.0.0 \
    PYTHONUNBUFFERED=1
USER objstore
VOLUME /data
EXPOSE 9000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9000/health/live', timeout=4)"]
ENTRYPOINT ["objstore"]
CMD ["serve", "/data"]
