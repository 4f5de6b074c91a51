"""The scheduler's rows. Their rules live on the models and managers."""

from __future__ import annotations

from scheduler.models.access import OPEN, Access
from scheduler.models.alias import Alias
from scheduler.models.catalog import CatalogModel, ModelOnNode
from scheduler.models.gpu_type import GpuType
from scheduler.models.ledger import LedgerEntry
from scheduler.models.measurement import Measurement
from scheduler.models.node import Node
from scheduler.models.operator_request import OperatorRequest
from scheduler.models.pinning import PinningPolicy
from scheduler.models.plan_run import PlanRun
from scheduler.models.price import HostedPrice, NodePrice
from scheduler.models.revision import CATALOGUE, Revised, RevisedQuerySet, Revision
from scheduler.models.sample import NodeSample
from scheduler.models.warm_prefix import WarmPrefix
from scheduler.models.workflow import Workflow

__all__ = [
    "CATALOGUE",
    "OPEN",
    "Access",
    "Alias",
    "CatalogModel",
    "GpuType",
    "HostedPrice",
    "LedgerEntry",
    "Measurement",
    "ModelOnNode",
    "Node",
    "NodePrice",
    "NodeSample",
    "OperatorRequest",
    "PinningPolicy",
    "PlanRun",
    "Revised",
    "RevisedQuerySet",
    "Revision",
    "WarmPrefix",
    "Workflow",
]
