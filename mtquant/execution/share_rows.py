"""What share of the known optimum each phase earns, as rows of the report (planted markets)."""

from dataclasses import replace

from mtquant.agents.bundle import PolicyBundle
from mtquant.agents.hierarchy import Trained
from mtquant.config.agents import PipelineSpec
from mtquant.context import Streams
from mtquant.data.dataset import Dataset
from mtquant.evaluation.content import ShareRow
from mtquant.evaluation.oracles.noise_free import NoiseFreeScore, captured_gain, mean_utility, share
from mtquant.gates.shares import PathSet, path_set, portfolio_references, specialist_scores
from mtquant.synthetic.registry import build_planted, evaluation_paths

EQUAL = "equal budgets of the same specialists"


def share_rows(spec: PipelineSpec, dataset: Dataset, trained: Trained, streams: Streams) -> tuple[ShareRow, ...]:
    """Score every phase on fresh paths, without market noise, beside its reference."""
    planted = build_planted(spec.data.source, spec.data.planted, streams, dataset.market.symbols)
    bars = spec.environment.warmup_steps + spec.environment.episode_length
    fresh = evaluation_paths(planted, streams, spec.evaluation.paired_episodes, bars)
    paths = path_set(dataset, fresh, spec)
    rows = [_specialist_row(paths, bundle) for bundle in trained.specialists.values()]
    return (*rows, *_portfolio_rows(paths, trained))


def _specialist_row(paths: PathSet, bundle: PolicyBundle) -> ShareRow:
    learned, optimal = specialist_scores(paths, bundle)
    words = "the exact optimum of one instrument alone"
    return _plain(f"Phase 1, {bundle.agent}", learned, optimal, words, phase=1)


def _portfolio_rows(paths: PathSet, trained: Trained) -> list[ShareRow]:
    acts = trained.phase1.acts
    known = portfolio_references(paths, {g: acts[g] for g in trained.specialists}, trained.budget)
    second, third = paths.score(trained.phase2), paths.score(trained.phase3)
    allocation = _plain("Phase 2", second, known.learned_reference, "the best known allocation of these specialists", 2)
    oracle_words = "the best known allocation of optimal specialists"
    oracle = _plain("Phase 2 beside optimal specialists", second, known.oracle_reference, oracle_words)
    optimum = _plain("Phase 3", third, known.joint_optimum, "the exact joint optimum", 3)
    rows = [
        _against(allocation, second, known.equal, known.learned_reference, known.bound, EQUAL),
        _against(
            oracle,
            second,
            known.oracle_equal,
            known.oracle_reference,
            known.bound,
            "equal budgets of optimal specialists",
        ),
        _against(optimum, third, second, known.joint_optimum, known.bound, "phase 2"),
        _plain("Phase 2 over equal budgets", second, known.equal, EQUAL),
        _plain("Phase 3 over phase 2", third, second, "phase 2"),
    ]
    if trained.control is not None:
        words = "joint training of equal steps without peers"
        rows.append(_plain("Phase 3 over its control", third, paths.score(trained.control), words))
    return rows


def _plain(
    title: str, score: NoiseFreeScore, reference: NoiseFreeScore, words: str, phase: int | None = None
) -> ShareRow:
    return ShareRow(title, mean_utility(score), share(score, reference), words, reference.utility, phase=phase)


def _against(
    row: ShareRow,
    score: NoiseFreeScore,
    previous: NoiseFreeScore,
    reference: NoiseFreeScore,
    bound: NoiseFreeScore,
    before: str,
) -> ShareRow:
    """Return `row` with its share of full information and of the gain over what came before."""
    return replace(
        row,
        bound=share(score, bound),
        bound_utility=bound.utility,
        captured=captured_gain(score, previous, reference),
        previous=before,
    )
