#!/bin/sh
# build.sh DIR [ARCH]: make the buildpack in DIR, with a static saba-agent for ARCH (amd64).
set -eu

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/bin" "$1/profile.d"
dir=$(cd "$1" && pwd)
cp "$here/bin/detect" "$here/bin/compile" "$dir/bin/"
cp "$here/profile.d/sidekiq-metrics.sh" "$dir/profile.d/"
chmod 755 "$dir/bin/detect" "$dir/bin/compile"
cd "$here/../.."
CGO_ENABLED=0 GOOS=linux GOARCH=${2:-amd64} "${GO:-go}" build -trimpath -ldflags "-s -w -X main.revision=${REV:-unknown}" -o "$dir/saba-agent" ./cmd/saba-agent
