#!/usr/bin/env bash
# Builds the collector (builder.yaml) and Jaeger from source with Go, once, into a cache outside this folder, and
# prints the cache folder that holds both programs. `build.sh --where` only prints it. The first build takes 8 to 15
# minutes on two cores and several GB in Go's own caches (`go clean -cache -modcache` frees them).
set -euo pipefail

jaeger_version=v1.76.0 # Jaeger 2.13: Go modules only know it by its v1 number
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
key=$(cat "$here/builder.yaml" "$here/build.sh" | sha256sum | cut -c1-16)
programs="${XDG_CACHE_HOME:-$HOME/.cache}/otel-kcevents/stack-$key"

if [[ $# -gt 0 && "$*" != --where ]]; then
  sed -n '2,4s/^# //p' "$0"
  [[ "$*" == --help ]]
  exit
fi
if [[ "${1:-}" == --where || (-x "$programs/otelcol-kcevents" && -x "$programs/jaeger") ]]; then
  echo "$programs"
  exit
fi
if ! command -v go > /dev/null; then
  echo "build.sh: 'go' not found; install Go 1.25 or newer, then run $here/build.sh again" >&2
  exit 1
fi

mkdir -p "${programs%/*}"
exec 9> "${programs%/*}/lock"
if command -v flock > /dev/null; then flock 9; fi # one build at a time
if [[ -x "$programs/jaeger" ]]; then
  echo "$programs"
  exit
fi
version=$(sed -n 's/^  version: //p' "$here/builder.yaml")
work=$(mktemp -d "${TMPDIR:-/tmp}/kcevents-build.XXXXXX")
trap 'rm -rf "$work"' EXIT
export GOTOOLCHAIN=local CGO_ENABLED=0 GOFLAGS="-mod=mod -buildvcs=false"
GOPROXY=$(go env GOPROXY)
export GOPROXY=${GOPROXY%,direct} # use the proxy only, never clone a repository

# Retries: a proxy may answer the first request for a module with "not found" and have it a moment later.
attempt() {
  local try
  for try in 1 2 3; do
    if "$@" >> "$work/log" 2>&1; then return; fi
    sleep $((try * 3))
  done
  tail -20 "$work/log" >&2
  echo "build.sh: '$*' failed three times; check that the proxy (go env GOPROXY) is reachable, then run $here/build.sh again" >&2
  exit 1
}

say() { echo "build.sh: $*" >&2; }

collector() {
  say "building the collector $version (1 of 2)"
  GOBIN="$work" attempt go install -trimpath "go.opentelemetry.io/collector/cmd/builder@v$version"
  cp "$here/builder.yaml" "$work/builder.yaml"
  (cd "$work" && attempt ./builder --config builder.yaml --ldflags "-s -w")
}

# `go install` refuses Jaeger because its go.mod contains a replace directive. So we build it from a module of our own
# with the requirements, replace directive and checksums of the same Jaeger version.
jaeger() {
  say "building Jaeger $jaeger_version (2 of 2)"
  local module=github.com/jaegertracing/jaeger source
  attempt go mod download "$module@$jaeger_version"
  source=$(go mod download -json "$module@$jaeger_version" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
  mkdir "$work/wrapper"
  sed "s|^module .*|module kcevents/jaeger|" "$source/go.mod" > "$work/wrapper/go.mod"
  echo "require $module $jaeger_version" >> "$work/wrapper/go.mod"
  cp "$source/go.sum" "$work/wrapper/go.sum"
  chmod u+w "$work/wrapper/go.sum"
  (cd "$work/wrapper" && attempt go build -trimpath -ldflags "-s -w" -o "$work/jaeger" "$module/cmd/jaeger")
}

collector
jaeger
mkdir -p "$programs.$$"
mv "$work/dist/otelcol-kcevents" "$work/jaeger" "$programs.$$/"
mv -T "$programs.$$" "$programs" # atomic: no one finds an incomplete folder
say "built in $SECONDS s"
echo "$programs"
