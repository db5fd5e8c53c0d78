set -euo pipefail

# What pip installs: a requirement, a wheel by path or URL, or s3://bucket/key of a wheel.
package=@PACKAGE@
export PIP_INDEX_URL=@INDEX_URL@
home=/opt/awsorch

# The network of a machine that boots may not be there yet.
retry() {
  local delay
  for delay in 2 4 8 16 32; do
    "$@" && return
    sleep "$delay"
  done
  "$@"
}

@PACKAGES@

pip() {
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@"
}

fetch_from_s3() {
  "$home/bin/python" -c '
import sys, boto3
bucket, key = sys.argv[1].removeprefix("s3://").split("/", 1)
boto3.client("s3").download_file(bucket, key, sys.argv[2])' "$@"
}

install_agent() {
  # An environment that was cut off while it was made has no pip.
  if ! "$home/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$home"
    "$python" -m venv "$home"
  fi
  if [[ $package == s3://* ]]; then
    retry pip boto3
    local wheel=$home/${package##*/}
    retry fetch_from_s3 "$package" "$wheel"
    package=$wheel
  fi
  retry pip "$package"
}

start_agent() {
  systemctl daemon-reload
  # Images made for ECS bring the official agent along.
  if systemctl cat ecs.service >/dev/null 2>&1; then
    systemctl mask --now ecs.service
  fi
  systemctl enable --now docker.service
  systemctl enable awsorch-agent.service
  # What was installed now is newer than what UpdateContainerAgent brought.
  rm -f /var/lib/ecs/updates/desired
  # Containers run on while the agent starts again with what is new.
  systemctl restart awsorch-agent.service
}

[[ -n $PIP_INDEX_URL ]] || unset PIP_INDEX_URL
install_packages
install_agent
start_agent
