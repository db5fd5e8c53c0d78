"""Make awsorch/data/instance_types.json.gz again: what the EC2 instance types are, and what they cost.

    .venv/bin/python scripts/instance_types.py PRICING_JSON

Facts are AWS's own DescribeInstanceTypes answers as they come with the package moto (extra `local`). Prices are AWS's
public on-demand prices for Linux. PRICING_JSON is `libcloud/data/pricing.json` out of the package apache-libcloud
(Apache-2.0), which collects them for all regions; what was launched or changed after its date is in NEWER and CHANGED,
from the price table of karpenter-provider-aws (Apache-2.0). A running controller refreshes them from the Pricing API.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from statistics import median
from typing import Any

TARGET = Path(__file__).parents[1] / "awsorch" / "data" / "instance_types.json.gz"
REGION = "us-east-1"

#: A vCPU of a family that is newer than PRICING_JSON, US dollars an hour in us-east-1 (19 January 2026). Sizes of these
#: families cost as much as their vCPUs, bare metal excepted.
NEWER = {
    "c8a": 0.053885,
    "c8gb": 0.05925,
    "c8gd": 0.04899,
    "c8gn": 0.05925,
    "c8i": 0.046855,
    "c8i-flex": 0.04451,
    "i7i": 0.09438,
    "i8ge": 0.11865,
    "m8a": 0.06086,
    "m8gb": 0.07275,
    "m8gd": 0.05766,
    "m8gn": 0.07275,
    "m8i": 0.05292,
    "m8i-flex": 0.050275,
    "r8a": 0.07988,
    "r8gb": 0.09109,
    "r8gd": 0.07348,
    "r8gn": 0.09109,
    "r8i": 0.06946,
    "r8i-flex": 0.065985,
}
#: Types that are newer than PRICING_JSON, cost less since, or have another tenancy's price there (the same source).
CHANGED = {
    "g4dn.4xlarge": 1.204,
    "g4dn.8xlarge": 2.176,
    "g5.4xlarge": 1.624,
    "g5.8xlarge": 2.448,
    "g5.12xlarge": 5.672,
    "g5.24xlarge": 8.144,
    "g5.48xlarge": 16.288,
    "g5g.2xlarge": 0.556,
    "g6.12xlarge": 4.6016,
    "g6.24xlarge": 6.6752,
    "g6e.12xlarge": 10.49264,
    "g6e.24xlarge": 15.06559,
    "g6e.48xlarge": 30.13118,
    "inf1.xlarge": 0.228,
    "inf1.24xlarge": 4.721,
    "inf2.48xlarge": 12.98127,
    "g6f.large": 0.202,
    "g6f.xlarge": 0.2375,
    "g6f.2xlarge": 0.475,
    "g6f.4xlarge": 0.95,
    "gr6f.4xlarge": 1.066,
    "i8g.48xlarge": 16.4736,
    "p4d.24xlarge": 21.957642,
    "p4de.24xlarge": 27.44705,
    "p5.4xlarge": 6.88,
    "p5.48xlarge": 55.04,
    "p5en.48xlarge": 63.296,
    "p6-b200.48xlarge": 113.9328,
}
#: Burstable sizes double from this one on (the same source and date).
NANO = {"t3": 0.0052, "t3a": 0.0047, "t4g": 0.0042}
SIZES = ("nano", "micro", "small", "medium", "large", "xlarge", "2xlarge")
#: What spot instances cost in parts of the on-demand price: the median of 24 types' zones in us-east-1 as the catalogue
#: of SkyPilot (Apache-2.0) lists them. They lie between 0.2 and 0.55 and change all the time.
SPOT_SHARE = 0.42

#: A family's sizes cost as much as their vCPUs where the dearest is less than so many times the cheapest of them.
EVEN = 1.12

COLUMNS = (
    *("name", "vcpus", "memory", "architecture", "manufacturer", "current", "burstable", "bare_metal", "hibernates"),
    *("interfaces", "network_gbps", "ebs_mbps", "storage", "storage_gb", "accelerators", "has_spot", "price"),
)
_MANUFACTURERS = {"Intel": "intel", "AMD": "amd", "AWS": "amazon-web-services"}


def main() -> int:
    """Read both sources and write the table."""
    if len(sys.argv) != 2:
        sys.stderr.write(__doc__ or "")
        return 2
    pricing = json.loads(Path(sys.argv[1]).read_text())
    prices: dict[str, dict[str, float]] = pricing["compute"]["ec2_linux"]
    described = json.loads(gzip.decompress((files("moto") / "ec2/resources/instance_types.json.gz").read_bytes()))
    kinds = [described[name] for name in sorted(described)]
    rows = [row_of(kind, prices) for kind in kinds if not kind["ProcessorInfo"]["Manufacturer"].startswith("Apple")]
    even_out(rows)
    table = {
        "sources": {
            "types": "EC2 DescribeInstanceTypes, by way of moto (Apache-2.0)",
            "prices": "AWS's prices for Linux, by way of apache-libcloud and karpenter-provider-aws (Apache-2.0)",
            "prices_at": datetime.fromtimestamp(pricing["updated"], UTC).date().isoformat(),
            "newer_prices_at": "2026-01-19",
        },
        "region": REGION,
        "spot_share": SPOT_SHARE,
        "regions": factors(prices),
        "columns": COLUMNS,
        "types": rows,
    }
    text = json.dumps(table, separators=(",", ":")).encode()
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_bytes(gzip.compress(text, 9, mtime=0))
    priced = sum(row[-1] is not None for row in rows)
    print(f"{TARGET}: {len(rows)} types, {priced} with a price, {TARGET.stat().st_size:,} bytes")
    return 0


def row_of(kind: Mapping[str, Any], prices: Mapping[str, Mapping[str, float]]) -> list[Any]:
    """A type in the order of COLUMNS."""
    name = kind["InstanceType"]
    storage = kind.get("InstanceStorageInfo", {})
    architectures = kind["ProcessorInfo"]["SupportedArchitectures"]
    return [
        name,
        kind["VCpuInfo"]["DefaultVCpus"],
        kind["MemoryInfo"]["SizeInMiB"],
        next((a for a in architectures if a != "i386"), architectures[0]),
        _MANUFACTURERS.get(kind["ProcessorInfo"]["Manufacturer"], "intel"),
        kind["CurrentGeneration"],
        kind["BurstablePerformanceSupported"],
        kind["BareMetal"],
        kind["HibernationSupported"],
        kind["NetworkInfo"]["MaximumNetworkInterfaces"],
        sum(card["BaselineBandwidthInGbps"] for card in kind["NetworkInfo"]["NetworkCards"]),
        kind["EbsInfo"].get("EbsOptimizedInfo", {}).get("BaselineBandwidthInMbps", 0),
        next((disk["Type"] for disk in storage.get("Disks", ())), ""),
        storage.get("TotalSizeInGB", 0),
        accelerators_of(kind),
        "spot" in kind["SupportedUsageClasses"],
        price_of(name, kind["VCpuInfo"]["DefaultVCpus"], prices),
    ]


def accelerators_of(kind: Mapping[str, Any]) -> list[list[Any]]:
    """[kind, name, manufacturer, count, MiB of one] of each sort that the type has."""
    found = []
    for gpu in kind.get("GpuInfo", {}).get("Gpus", ()):
        size = gpu.get("MemoryInfo", {}).get("SizeInMiB", 0)
        found.append(["gpu", word(gpu["Name"]), word(gpu["Manufacturer"]), max(1, int(gpu["Count"])), size])
    for fpga in kind.get("FpgaInfo", {}).get("Fpgas", ()):
        name = fpga["Name"].partition("(")[2].rstrip(")") or fpga["Name"]
        found.append(["fpga", word(name), "xilinx", fpga["Count"], fpga["MemoryInfo"]["SizeInMiB"]])
    chips = kind.get("NeuronInfo", {}).get("NeuronDevices", ())
    chips = chips or kind.get("InferenceAcceleratorInfo", {}).get("Accelerators", ())
    for chip in chips:
        made = word(chip.get("Manufacturer", "AWS"))
        made = {"aws": "amazon-web-services"}.get(made, made)
        size = chip.get("MemoryInfo", {}).get("SizeInMiB", 0)
        found.append(["inference", word(chip["Name"]), made, chip["Count"], size])
    return found


def word(name: str) -> str:
    """A name as InstanceRequirements writes it."""
    return name.strip().lower().replace(" ", "-")


def price_of(name: str, vcpus: int, prices: Mapping[str, Mapping[str, float]]) -> float | None:
    """US dollars an hour on-demand; None where no source knows it."""
    family, _, size = name.partition(".")
    if family in NANO:
        return round(NANO[family] * float(2 ** SIZES.index(size)), 6)
    known = CHANGED.get(name) or float(prices.get(name, {}).get(REGION) or 0)
    if not known and family in NEWER and not size.startswith("metal"):
        known = round(NEWER[family] * vcpus, 6)
    return known or None


def even_out(rows: list[list[Any]]) -> None:
    """One price a vCPU in the families that have one, the lowest: the sizes that the sources lack are priced so, and
    those for which they give the price of dedicated tenancy, which is a tenth higher at most."""
    families: dict[str, list[list[Any]]] = {}
    for row in rows:
        family, _, size = row[0].partition(".")
        if not size.startswith("metal"):
            families.setdefault(family, []).append(row)
    for members in families.values():
        units = [row[-1] / row[1] for row in members if row[-1] is not None]
        if units and max(units) < EVEN * min(units):
            for row in members:
                row[-1] = round(min(units) * row[1], 6)


def factors(prices: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """What a region costs in parts of REGION: the median over the types that both have a price for."""
    shares: dict[str, list[float]] = {}
    for by_region in prices.values():
        here = float(by_region.get(REGION) or 0)
        for region, price in by_region.items():
            if here and float(price or 0):
                shares.setdefault(region, []).append(float(price) / here)
    return {region: round(median(found), 3) for region, found in sorted(shares.items()) if region.count("-") < 4}


if __name__ == "__main__":
    sys.exit(main())
