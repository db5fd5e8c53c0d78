"""What an EC2 instance type is, and what an agent on one registers. Facts only: which types suit whom is
requirements.py's business, prices come from the catalogue.

Source: EC2 API, DescribeInstanceTypes.
"""

from __future__ import annotations

from dataclasses import dataclass

from awsorch.core.model_capacity import Offer

CPU_PER_VCPU = 1024
VISIBLE_MEMORY_SHARE = 0.948
"""What is left of an instance type's memory when the kernel has taken its part: 3,883 of 4,096 MiB on a t3.medium."""

GPU, FPGA, INFERENCE = "gpu", "fpga", "inference"


def visible_memory(mib: int) -> int:
    """What an agent finds of a machine's memory, both in MiB."""
    return int(mib * VISIBLE_MEMORY_SHARE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accelerators:
    """What a type has of one kind (gpu, fpga or inference). ``name`` and ``manufacturer`` in the words of ECS's
    InstanceRequirements; ``memory`` of one, in MiB."""

    kind: str
    name: str
    manufacturer: str
    count: int
    memory: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    """An instance type and its prices (US dollars an hour; None: not known). ``memory`` is MiB as EC2 names it,
    ``network_gbps`` and ``ebs_mbps`` are the bandwidths that it always has, ``storage_gb`` its local storage of kind
    ``storage`` ("ssd", "hdd", or "" for none)."""

    name: str
    vcpus: int
    memory: int
    architecture: str
    manufacturer: str
    current: bool = True
    burstable: bool = False
    bare_metal: bool = False
    hibernates: bool = False
    interfaces: int = 1
    network_gbps: float = 0.0
    ebs_mbps: int = 0
    storage: str = ""
    storage_gb: int = 0
    accelerators: tuple[Accelerators, ...] = ()
    has_spot: bool = True
    price: float | None = None
    spot_price: float | None = None

    @property
    def is_common(self) -> bool:
        """Whether it is of the C, M or R series of the current generation, without accelerators."""
        plain = not (self.burstable or self.bare_metal or self.accelerators)
        return self.name[0] in "cmr" and self.name[1:2].isdigit() and self.current and plain

    @property
    def gpus(self) -> int:
        """How many GPUs an agent on it would register: NVIDIA's, which are those that ECS gives to tasks."""
        return sum(a.count for a in self.accelerators if a.kind == GPU and a.manufacturer == "nvidia")

    def price_of(self, *, spot: bool) -> float | None:
        """Its price, on-demand or spot; None where it is not known or it can't be had so."""
        return (self.spot_price if self.has_spot else None) if spot else self.price

    def offer(self, *, spot: bool) -> Offer | None:
        """It at its price, as an agent on it would register; None where that is not known."""
        price = self.price_of(spot=spot)
        if price is None:
            return None
        return Offer(
            instance_type=self.name,
            cpu=self.vcpus * CPU_PER_VCPU,
            memory=visible_memory(self.memory),
            gpus=self.gpus,
            interfaces=self.interfaces - 1,
            architecture=self.architecture,
            spot=spot,
            price=price,
        )
