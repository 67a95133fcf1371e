"""How many experts token-streams reach, and how unevenly devices that hold them are loaded.

Each token-stream is sent to k different experts of E, each equally likely, and independently of
the others. Routers are trained towards that balance; text of one subject reaches fewer, and so may
the streams of one token, which are alike.
"""

from __future__ import annotations

from cost_analysis.arrays import Number, holds, maximum, minimum, where, whole_power


def expected_experts(number: Number, per_token: Number, token_streams: Number) -> Number:
    """Distinct experts that token-streams reach, to be expected: E·(1 − (1 − k/E)^M).

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass, M = P·B·queries.
    """
    return number * (1.0 - whole_power(1.0 - per_token / number, token_streams))


def busiest_experts(
    number: Number, per_token: Number, token_streams: Number, groups: Number, each: Number
) -> Number:
    """Distinct experts reached on the group of devices with most of them, to be expected.

    All groups wait for that one. How many are reached in each is taken as binomial and independent
    of the others: E[max] is the sum over j of 1 − F(j)^n. That the whole number of experts is given
    makes them slightly dependent; the tests compare it with random routing.

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        token_streams: Token-streams of the pass on all groups, M.
        groups: Groups that the experts are divided among, n.
        each: Experts of a group.
    """
    unreached = whole_power(1.0 - per_token / number, token_streams)
    # The rarer of the two is counted, so that no power underflows.
    rare = minimum(unreached, 1.0 - unreached)
    term = cumulative = whole_power(1.0 - rare, each)
    most = fewest = rare * 0.0
    count = 0.0
    while not holds(count >= each):
        counted = where(count < each, 1.0, 0.0)
        most = most + counted * (1.0 - whole_power(minimum(cumulative, 1.0), groups))
        fewest = fewest + counted * whole_power(maximum(1.0 - cumulative, 0.0), groups)
        term = term * maximum(each - count, 0.0) / (count + 1.0) * (rare / (1.0 - rare))
        cumulative, count = cumulative + term, count + 1.0
    busiest = where(unreached > 0.5, most, each - fewest)
    alone = expected_experts(number, per_token, token_streams)
    return where(groups == 1, alone, maximum(busiest, 1.0))


def distinct_groups(number: Number, per_token: Number, groups: Number) -> Number:
    """Groups that hold any of a token-stream's experts: n·(1 − C(E − E/n, k)/C(E, k)) expected.

    Args:
        number: Routed experts, E.
        per_token: Experts of each token-stream, k.
        groups: Groups that they are divided among, n.
    """
    elsewhere, missed, taken = number - number / groups, number * 0.0 + 1.0, 0.0
    while not holds(taken >= per_token):
        factor = maximum(elsewhere - taken, 0.0) / (number - taken)
        missed, taken = missed * where(taken < per_token, factor, 1.0), taken + 1.0
    return groups * (1.0 - missed)
