# The image that `python -m launch kubernetes` runs: docker build --tag=IMAGE . && docker push IMAGE
# For NVIDIA GPUs: docker build --build-arg=EXTRA=gpu --tag=IMAGE .
FROM python:3.11-slim

# Not root, as the `restricted` Pod Security Standard requires. The number is launch/kubernetes.py's USER.
RUN useradd --uid=1000 --create-home seedwise

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --requirement=requirements.txt

# tensorflow[and-cuda] brings CUDA; the version stays the one above.
ARG EXTRA=
COPY setup.py pyproject.toml README.md ./
COPY seedwise seedwise
COPY configs configs
COPY data_pipeline data_pipeline
COPY trainer trainer
COPY launch launch
RUN pip install --no-cache-dir --constraint=requirements.txt --no-build-isolation --editable ".${EXTRA:+[$EXTRA]}" \
    && install --directory --owner=1000 --group=1000 runs

USER 1000
CMD ["python", "-m", "trainer.main", "--config=configs/cnn_nadam.py"]
