"""Accelerators, instances and their dated prices."""

from planner.hardware.catalogue import Catalogue, default_catalogue
from planner.hardware.machines import Accelerator, Instance, Price, Terms
from planner.hardware.overrides import load_catalogue

__all__ = ["Accelerator", "Catalogue", "Instance", "Price", "Terms", "default_catalogue", "load_catalogue"]
