# One image for both programs: the controller, and the worker that the controller's Jobs run.
#   docker build -t safehold:0.1.0 .
#   docker run --rm safehold:0.1.0 --version

FROM python:3.13-slim-bookworm AS build
ENV PIP_NO_CACHE_DIR=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/opt/safehold
RUN pip install "uv>=0.9,<1"
WORKDIR /src
# The dependencies change less often than the code: a layer of their own.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --no-install-project
COPY operator operator
# The package carries the description of the format into every repository.
COPY docs/format.md docs/format.md
RUN uv sync --frozen --no-dev --no-editable

FROM python:3.13-slim-bookworm
LABEL org.opencontainers.image.title="safehold" org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/safehold /opt/safehold
ENV PATH=/opt/safehold/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# 107 is the user that KubeVirt and CDI own disk images with; the worker must read them without root.
USER 107:107
WORKDIR /tmp
ENTRYPOINT ["python", "-m", "safehold"]
CMD ["controller"]
