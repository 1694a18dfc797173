# The server as an image: no build tools, no root, no writable file system needed. `make image` builds it.
#
#   docker build --build-arg VARIANT=cuda -t rhapsode:0.1.0-cuda .
#
# BASE_IMAGE is any image with Python 3.11 or newer and its venv module, by digest so that the build can be repeated.
# VARIANT is cpu or cuda. Packages are pinned by digest in constraints/; what came in is listed in
# /opt/rhapsode/bill-of-materials.cdx.json (CycloneDX).
ARG BASE_IMAGE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# Gigabytes that change with constraints/ only.
FROM ${BASE_IMAGE} AS packages
ARG VARIANT=cpu
ARG TORCH_BACKEND=
WORKDIR /source
COPY pyproject.toml ./
COPY constraints constraints
COPY scripts/image-install scripts/image-slim.py scripts/
RUN scripts/image-install packages "${VARIANT}" "${TORCH_BACKEND}"

# Megabytes that change with every commit.
FROM packages AS ours
ARG SOURCE_DATE_EPOCH=0
COPY . .
RUN SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH} scripts/image-install ours

FROM ${BASE_IMAGE}
LABEL org.opencontainers.image.title=rhapsode \
      org.opencontainers.image.description="Streaming text-to-speech over gRPC" \
      org.opencontainers.image.licenses=Apache-2.0
# A base for building brings pip and its kin, which a server has no use for and an intruder has.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/wheel /usr/local/bin/idle* /usr/local/bin/2to3* \
      /usr/local/lib/python3*/site-packages/* /usr/local/lib/python3*/ensurepip \
      /usr/lib/python3*/ensurepip /usr/share/python-wheels
COPY --from=packages /opt/rhapsode /opt/rhapsode
COPY --from=ours /opt/ours /opt/rhapsode
# Bytecode is there already, and everything that libraries like to keep goes to /tmp, the one writable place.
ENV PATH=/opt/rhapsode/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    HOME=/tmp \
    XDG_CACHE_HOME=/tmp/cache \
    HF_HOME=/tmp/hub \
    HF_HUB_DISABLE_TELEMETRY=1 \
    TORCHINDUCTOR_CACHE_DIR=/tmp/inductor
USER 10001:10001
WORKDIR /tmp
EXPOSE 50051 50052 9464
ENTRYPOINT ["/opt/rhapsode/bin/rhapsode"]
CMD ["serve", "--host", "0.0.0.0", "--health-port", "50052"]
