#!/bin/sh
# build.sh OUT ARCH…: build the deb and rpm packages of saba-agent and saba for each GOARCH
# into the folder OUT. Runs from the top of the repository; GO and REV come from the Makefile.
set -eu

out=$1
shift
go=${GO:-go}
version=$(sed -n 's/^const Version = "\(.*\)"$/\1/p' version.go)
[ -n "$version" ] || { echo "saba: version.go names no version" >&2; exit 1; }
mkdir -p "$out"
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
for kind in deb rpm; do
	mkdir -p "$stage/$kind"
	for script in packaging/"$kind"/*.postinst; do
		sed -e '/^@COMMON@$/{' -e 'r packaging/common-postinst.sh' -e 'd' -e '}' "$script" >"$stage/$kind/$(basename "$script")"
	done
done
mkdir "$stage/bin"
packaging/links.sh "$stage/bin"
nfpm=$($go tool -modfile=packaging/go.mod -n nfpm)
for arch in "$@"; do
	CGO_ENABLED=0 GOOS=linux GOARCH=$arch $go build -trimpath -ldflags "-s -w" -o "$stage/saba-agent-s3" ./cmd/saba-agent-s3
	for name in saba-agent saba; do
		CGO_ENABLED=0 GOOS=linux GOARCH=$arch $go build -trimpath -ldflags "-s -w -X main.revision=${REV:-unknown}" -o "$stage/$name" "./cmd/$name"
		sed -e "s#@STAGE@#$stage#; s#@ARCH@#$arch#; s#@VERSION@#$version#" "packaging/$name.yaml" >"$stage/$name.yaml"
		for kind in deb rpm; do
			"$nfpm" package --config "$stage/$name.yaml" --packager "$kind" --target "$out"
		done
	done
done
