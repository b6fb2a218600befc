"""The benchmark's report: one HTML file that needs nothing else."""

from vivace.bench.report.material import Curve, Distribution, Material, Stages, Strip, WorstFrame
from vivace.bench.report.page import write_report

__all__ = ["Curve", "Distribution", "Material", "Stages", "Strip", "WorstFrame", "write_report"]
