# Amazon Linux 2023, whose own Python is too old.
python=python3.11

install_packages() {
  local packages=(python3.11)
  command -v dockerd >/dev/null || packages+=(docker)
  retry dnf install -y -q "${packages[@]}"
}
