# For the scripts beside it that make Debian roots; sourced.
#
# Where this machine gets its packages is this machine's own affair: its mirrors are lent to a root
# while it is made, and are written into no file of the project.

mirrors() { # the machine's own Debian mirrors, as "URI RELEASE" lines
	# shellcheck disable=SC2016
	apt-get indextargets --format '$(ORIGIN) $(COMPONENT) $(REPO_URI) $(RELEASE)' 'Created-By: Packages' |
		awk '$1 == "Debian" && $2 == "main" { print $3, $4 }' | sort -u
}

# shellcheck disable=SC1091
codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
signed='signed-by=/usr/share/keyrings/debian-archive-keyring.gpg'

sources() { # sources SUITE: where its packages come from, as apt's lines
	local uri release
	[ -n "$(mirrors)" ] || apt-get --quiet update >&2
	mirrors | while read -r uri release; do
		case $release in
		"$codename" | "$codename"-updates | "$codename"-security)
			echo "deb [$signed] $uri $1${release#"$codename"} main" ;;
		esac
	done | grep .
}

packaged() { # packaged ARCH: from the project's own folder, our package in build/, made anew if anything in it changed
	local package
	mkdir -p build
	package=$(find build -maxdepth 1 -name "attune-kit_*_$1.deb" | sort | tail -n 1)
	if [ -z "$package" ] || [ -n "$(find appliance firmware web_ui systemd tools/package requirements/kit.txt pyproject.toml \
		-newer "$package" -type f -not -name '*.pyc' -print -quit)" ]; then
		tools/package "$1"
	fi
}
