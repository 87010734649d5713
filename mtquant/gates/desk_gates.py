"""The gates of the four environments: how near the optimum a team comes, and what it adds to its agents alone."""

from collections.abc import Iterator

from mtquant.config.marl import TrainingMode
from mtquant.gates.alone import VOTING
from mtquant.gates.desk_worth import SmallestLead, TeamShare
from mtquant.gates.desks import DIVIDED, DeskTraining
from mtquant.gates.gate import Gate, Rule

TEAMS: dict[TrainingMode, tuple[int, str, float]] = {
    TrainingMode.EXECUTION: (64_000, "gain over TWAP, as a share of the optimum's (a quadratic programme)", 0.90),
    TrainingMode.RISK: (819_200, "share of the optimum of who sees the regime (value iteration)", 0.90),
    TrainingMode.STRATEGIC: (102_400, "share of the Sharpe ratio of the best known votes", 0.80),
    TrainingMode.TACTICAL: (102_400, "share of the Sharpe ratio of the best known votes", 0.80),
}
"""Steps of training, what the team is held against, and the least share."""


def desk_gates(seeds: tuple[int, ...]) -> Iterator[Gate]:
    """Yield two gates for each environment.

    On the default market of the voting games one expert's columns show all that there is to know, so whether the
    team adds anything is asked where each of them is shown one signal out of three.
    """
    for mode, (steps, claim, share) in TEAMS.items():
        votes = mode in VOTING
        training = DeskTraining(mode, steps, rivals=not votes)
        rivalled = DeskTraining(mode, steps, DIVIDED) if votes else training
        yield Gate(f"team-{mode}", f"{mode} team: {claim}", training, TeamShare(), Rule.MEDIAN, share, seeds)
        yield Gate(
            f"team-{mode}-lead",
            f"{mode} team: above random play and above each of its agents alone, the nearest of them",
            rivalled,
            SmallestLead(),
            Rule.LOW_ENDS,
            0.0,
            seeds,
        )
