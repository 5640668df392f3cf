# The page and the API in a container: docs/serving.md. It has ONNX Runtime alone.
FROM python:3.12-slim AS build
WORKDIR /src
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY cic cic
COPY backends backends
COPY metric metric
RUN python -m venv /opt/cic
RUN /opt/cic/bin/python -m pip install --no-cache-dir ".[onnx,serve]"

FROM python:3.12-slim
COPY --from=build /opt/cic /opt/cic
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --start-period=30s --timeout=5s CMD ["/opt/cic/bin/python", "-c", \
    "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=4)"]
ENTRYPOINT ["/opt/cic/bin/cic", "serve", "--host", "0.0.0.0"]
