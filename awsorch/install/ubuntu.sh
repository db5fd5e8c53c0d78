# Ubuntu 24.04, or 22.04, whose own Python is too old.
python=python3.11
if python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  python=python3
fi

install_packages() {
  export DEBIAN_FRONTEND=noninteractive
  local packages=("$python" "$python-venv")
  command -v dockerd >/dev/null || packages+=(docker.io)
  retry apt-get update -qq
  retry apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}"
}
