"""Causal kernels along time; every value at t uses bars up to and including t of one history."""

import numpy as np
from scipy.signal import lfilter

from mtquant.types import Bool, Float


def decay(half_life: float) -> float:
    """Return theta = 2^(-1/h): what is left of a weight after one bar."""
    return float(2.0 ** (-1.0 / half_life))


def exponential_sum(values: Float, half_life: float) -> Float:
    """Return s_t = theta s_{t-1} + values_t along axis 0, starting from zero; same shape."""
    out: Float = lfilter([1.0], [1.0, -decay(half_life)], values, axis=0)
    return out


def exponential_mean(values: Float, half_life: float) -> Float:
    """Return the exponentially weighted mean along axis 0 over the bars seen so far.

    Weights are normalised by their sum, so the first bars are an expanding estimate and nothing is assumed
    about bars before the first.
    """
    total = exponential_sum(values, half_life)
    weight = exponential_sum(np.ones(len(values)), half_life)
    out: Float = total / weight.reshape(-1, *([1] * (values.ndim - 1)))
    return out


def unit_variance_mean(values: Float, half_life: float) -> Float:
    """Return z_t = theta z_{t-1} + sqrt(1 - theta^2) values_t along axis 0: unit variance on white noise."""
    gain = np.sqrt(1.0 - decay(half_life) ** 2)
    return exponential_sum(gain * values, half_life)


def weighted_mean(values: Float, weights: Float) -> Float:
    """Return the mean of the last bars along axis 0, `weights[i]` being that of the value i bars ago.

    Over the bars there are; summed lag by lag, so that a value does not depend on how many bars follow.
    """
    total, weight = np.zeros(len(values)), np.zeros(len(values))
    for lag, share in enumerate(weights[: len(values)].tolist()):
        total[lag:] += share * values[: len(values) - lag]
        weight[lag:] += share
    out: Float = total / weight
    return out


def changes(close: Float) -> Float:
    """Return the price change of each bar along axis 0; the first bar of a history has none and gets 0."""
    out: Float = np.diff(close, axis=0, prepend=close[:1])
    return out


def ratio(numerator: Float, denominator: Float, otherwise: float = 0.0) -> Float:
    """Return the quotient where the denominator is positive, else `otherwise`; finite inputs give finite output."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), otherwise)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    out[~np.isfinite(out)] = otherwise
    return out


def hold_last(values: Float, known: Bool, length: int) -> Float:
    """Spread the values of bars where `known` [length] is True over all bars, holding the last; 0 before the first."""
    if not len(values):
        return np.zeros(length)
    index = np.cumsum(known) - 1
    out: Float = np.where(index >= 0, values[np.maximum(index, 0)], 0.0)
    return out
