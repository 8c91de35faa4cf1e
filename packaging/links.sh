#!/bin/sh
# links.sh FOLDER: put links to the agent into FOLDER, /usr/lib/saba-agent/bin of a package or an image, by the names that
# configurations call plugins and checks. Each is a folder of the repository, but for the two that are one check here.
# Runs from the top of the repository.
set -eu

for name in mackerel-plugin mackerel-check check-cert-file check-ssl-cert; do
	ln -s ../../../bin/saba-agent "$1/$name"
done
for folder in plugins/*/ checks/*/; do
	name=$(basename "$folder")
	case $folder in
	plugins/*) ln -s ../../../bin/saba-agent "$1/mackerel-plugin-$name" ;;
	*) ln -s ../../../bin/saba-agent "$1/check-$name" ;;
	esac
done
