#!/bin/sh
# Puts the jars of the platform's servers into deploy/jvm/build, by Maven. Runs again only when a pom or a class changed.
set -eu
cd "$(dirname "$0")/.."
# A Java for the registry, which wants 21 (two names: older uv, newer uv).
export UV_NATIVE_TLS=true UV_SYSTEM_CERTS=true UV_PYTHON_DOWNLOADS=never
.venv/bin/uv sync --quiet --frozen --inexact --group cluster
home=$PWD/deploy/jvm/build
now=$(cat deploy/jvm/pom.xml deploy/jvm/*/pom.xml deploy/jvm/flink-functions/src/main/java/topline/flink/*.java | cksum)
if [ -f "$home/.poms" ] && [ "$(cat "$home/.poms")" = "$now" ]; then exit 0; fi
if ! command -v mvn >/dev/null 2>&1 || ! command -v javac >/dev/null 2>&1; then
    echo "The servers' jars come by Maven and a JDK; one of them is not on the PATH." >&2
    echo "Install them: sudo apt-get install maven openjdk-17-jdk-headless" >&2
    exit 1
fi

echo "fetching Kafka, Connect, Debezium, the registry, Flink and Spark's connectors into deploy/jvm/build (minutes; 0.6 GB)" >&2
rm -rf "$home"
mvn --quiet --batch-mode -f deploy/jvm/pom.xml -Dhome="$home" package
printf '%s' "$now" > "$home/.poms"
