"""Planted markets: generated bars with a known optimum."""

from mtquant.synthetic.planted import Objective, Planted, Truth
from mtquant.synthetic.registry import SYNTHETIC, build_planted, evaluation_paths, planted_params

__all__ = ["SYNTHETIC", "Objective", "Planted", "Truth", "build_planted", "evaluation_paths", "planted_params"]
