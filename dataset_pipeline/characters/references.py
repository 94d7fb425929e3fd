"""Who is who by reference pictures: a few of each name, and some that reject.

An appearance (a person on a still, or along a track) is compared with every reference at once, so that forty names cost
what five do. Its difference to a name is the mean of that to the nearest few references of one outfit, and what a
tagger says of hair, eyes and body is a further vote. All appearances are then named together: two people on one still
are hardly one person, so a name given twice there costs a penalty. It is a penalty and no wall, since a mirror shows
the same person clearly twice.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from dataset_pipeline.characters.appearances import Appearances
from dataset_pipeline.characters.identities import DifferencesTo
from dataset_pipeline.characters.vectors import unit
from dataset_pipeline.settings import NamedCharactersSettings

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NOBODY = -1  # the number of an appearance without a name
NOISE = -1  # the owner of a reference that rejects
NEAREST = 2  # references of an outfit that an appearance is compared with
USUAL_TRAITS = 0.15  # by how much what a tagger says of one person differs between two good pictures
NEVER = 1e6  # the difference to a name that no reference stands for
MOST_ROUNDS = 100
EQUAL = 6  # decimals of a cost; what is beyond them is lost in the vectors


@dataclass(frozen=True)
class ReferenceSet:
    """m reference pictures.

    names: sorted. owners: int64 [m], the number of each one's name; NOISE rejects. outfits: what each wears, empty if
    that is not said. files: of each. vectors: float32 [m, d] of unit length. traits: [m, t], the probability of each of
    the tags `tags`.
    """

    names: tuple[str, ...]
    owners: np.ndarray
    outfits: tuple[str, ...]
    files: tuple[str, ...]
    vectors: np.ndarray
    traits: csr_array
    tags: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.owners)


@dataclass(frozen=True)
class Named:
    """Who n appearances are. numbers: int64 [n], of `ReferenceSet.names` or NOBODY. nearest: int64 [n], the nearest
    reference, of the name if there is one. differences: float64 [n], to the name, or to the nearest where there is
    none. margins: float64 [n], how much farther away the next best name is, or being nobody."""

    numbers: np.ndarray
    nearest: np.ndarray
    differences: np.ndarray
    margins: np.ndarray


def reference_set(table: pa.Table, model_sha256: str) -> ReferenceSet:
    """The references of `reference_embeddings` whose vectors are of these weights.

    The vector of a picture is the mean of those of its views, each of unit length, as that of an appearance is.
    """
    rows = table.drop_columns("traits").to_pylist()
    ours = [i for i, row in enumerate(rows) if row["model_sha256"] == model_sha256 and row["views"]]
    rows = [rows[i] for i in ours]
    names = tuple(sorted({row["name"] for row in rows} - {""}))
    number = {"": NOISE} | {name: i for i, name in enumerate(names)}
    means = [unit(np.asarray([view["embedding"] for view in row["views"]], np.float32)).mean(axis=0) for row in rows]
    traits = table["traits"].take(pa.array(ours, pa.int64()))
    tags = tuple(sorted(set(traits.combine_chunks().flatten().field("tag").to_pylist()))) if len(ours) else ()
    return ReferenceSet(
        names,
        np.array([number[row["name"]] for row in rows], np.int64),
        tuple(row["outfit"] for row in rows),
        tuple(row["file"] for row in rows),
        unit(np.stack(means)) if means else np.zeros((0, 1), np.float32),
        trait_matrix(traits, tags),
        tags,
    )


def trait_matrix(scored: pa.ChunkedArray, tags: Sequence[str]) -> csr_array:
    """[n, t]: the probability of each of t tags for n lists of structs with tag and score, 0 for one not in a list."""
    from scipy.sparse import csr_array

    lists = scored.combine_chunks()
    items = lists.flatten()
    words = items.field("tag").dictionary_encode()
    column = {tag: i for i, tag in enumerate(tags)}
    of_word = np.array([column.get(word, -1) for word in words.dictionary.to_pylist()], np.int64)
    columns = of_word[words.indices.to_numpy(zero_copy_only=False)] if len(words) else np.zeros(0, np.int64)
    rows = np.repeat(np.arange(len(lists)), lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    scores = items.field("score").to_numpy(zero_copy_only=False)
    known = columns >= 0
    return csr_array((scores[known], (rows[known], columns[known])), shape=(len(lists), len(tags)), dtype=np.float64)


def traits_of(appearances: Appearances, tag_scores: pa.Table, tags: Sequence[str]) -> csr_array:
    """[n, t]: for each appearance the mean of what `tag_scores` says of its crops."""
    from scipy.sparse import csr_array

    matrix = trait_matrix(tag_scores["tags"], tags)
    number = {image_id: i for i, image_id in enumerate(tag_scores["image_id"].to_pylist())}
    found = [[number[crop] for crop in crops if crop in number] for crops in appearances.crops]
    rows = np.repeat(np.arange(len(found)), [len(members) for members in found])
    columns = np.array([member for members in found for member in members], np.int64)
    shares = np.array([1 / len(members) for members in found for _ in members])
    return csr_array(csr_array((shares, (rows, columns)), shape=(len(found), tag_scores.num_rows)) @ matrix)


def name_people(
    people: Appearances,
    tag_scores: pa.Table,
    references: ReferenceSet,
    identity: Any,
    settings: NamedCharactersSettings,
) -> Named:
    """Who people are. tag_scores: of their crops, at least. identity: the model that made the vectors."""
    return name_appearances(
        people.vectors,
        traits_of(people, tag_scores, references.tags),
        people.rivals,
        references,
        identity.differences,
        identity.threshold,
        settings,
    )


def typical_of(differences: np.ndarray, looks: Sequence[object], count: int) -> list[int]:
    """Row numbers of members that show a group best: of the half that differs least from all on the average, the
    nearest of each look, then the next nearest. Who is a member by mistake is in the other half.

    differences: [n, n] among the members. looks: what the chosen shall differ in, as episode and outfit.
    """
    order = differences.mean(axis=1).argsort(kind="stable")
    typical = order[: max(count, (len(order) + 1) // 2)].tolist()
    first = list({looks[i]: i for i in reversed(typical)}.values())
    ranked = sorted(first, key=typical.index) + [i for i in typical if i not in first]
    return ranked[:count]


def name_appearances(
    vectors: np.ndarray,
    traits: csr_array,
    rivals: np.ndarray,
    references: ReferenceSet,
    differences_to: DifferencesTo,
    threshold: float,
    settings: NamedCharactersSettings,
) -> Named:
    """Who each of n appearances is.

    vectors: float32 [n, d] of unit length. traits: [n, t], zeros where no tag is known. rivals: int64 [k, 2], pairs
    that are beside one another on a still. differences_to: of [n, d] and [m, d] gives [n, m]. threshold: the model's
    own, up to which two are the same, used where settings.max_difference is 0. Nobody is who is farther than that from
    every name, nearer to a reference that rejects, or about as near to that or to a second name as to the first.
    """
    if not len(vectors) or not references.names:
        nothing = np.full(len(vectors), NOBODY, np.int64)
        return Named(nothing, nothing, np.full(len(vectors), NEVER), np.zeros(len(vectors)))
    table = np.asarray(differences_to(vectors, references.vectors), np.float64)
    table = table + settings.trait_weight * (trait_differences(traits, references.traits) - USUAL_TRAITS)
    costs, rejects = _to_names(table, references)
    nobody = np.minimum(settings.max_difference or threshold, rejects)[:, None]
    costs = np.concatenate([costs, nobody], axis=1).round(EQUAL)
    numbers, costs = _together(costs, rivals, settings.same_still_penalty, _ranks(vectors))
    rows = np.arange(len(costs))
    own = costs[rows, numbers]
    others = costs.copy()
    others[rows, numbers] = np.inf
    second = np.minimum(others[:, :-1].min(axis=1, initial=np.inf), rejects)
    given = (numbers < len(references.names)) & (second - own >= settings.min_margin)
    numbers = np.where(given, numbers, NOBODY)
    of_name = np.where(references.owners[None] == numbers[:, None], table, np.inf)
    return Named(
        numbers,
        np.where(given, of_name.argmin(axis=1), table.argmin(axis=1)),
        np.where(given, own, costs[:, :-1].min(axis=1)),
        others.min(axis=1) - own,
    )


def _to_names(table: np.ndarray, references: ReferenceSet) -> tuple[np.ndarray, np.ndarray]:
    """The difference to each name, [n, names], and to what rejects, [n], from those to each reference, [n, m]: the mean
    over the NEAREST references of the nearest outfit."""
    names = np.full((len(table), len(references.names)), NEVER)
    rejects = np.full(len(table), NEVER)
    groups: dict[tuple[int, str], list[int]] = {}
    for i, (owner, outfit) in enumerate(zip(references.owners.tolist(), references.outfits, strict=True)):
        groups.setdefault((owner, "" if owner == NOISE else outfit), []).append(i)
    for (owner, _), members in groups.items():
        if owner == NOISE:  # of strangers no two need be alike
            rejects = table[:, members].min(axis=1)
        else:
            several = min(NEAREST, len(members))
            mean = np.partition(table[:, members], several - 1, axis=1)[:, :several].mean(axis=1)
            names[:, owner] = np.minimum(names[:, owner], mean)
    return names, rejects


def trait_differences(ours: csr_array, theirs: csr_array) -> np.ndarray:
    """float64 [n, m]: 0 where the same traits are as probable, 1 where none is shared, by the cosine of the
    probabilities; as usual where nothing is known of one."""
    shared = (ours @ theirs.T).toarray()
    lengths, their_lengths = (np.sqrt(it.power(2).sum(axis=1)) for it in (ours, theirs))
    product = np.outer(lengths, their_lengths)
    return np.where(product > 0, 1 - shared / np.where(product > 0, product, 1), USUAL_TRAITS)


def _ranks(vectors: np.ndarray) -> np.ndarray:
    """uint64 [n]: an order of appearances that follows from what each looks like alone."""
    digests = b"".join(hashlib.blake2b(vector.tobytes(), digest_size=8).digest() for vector in vectors)
    return np.frombuffer(digests, np.uint64)


def _together(
    costs: np.ndarray, rivals: np.ndarray, penalty: float, ranks: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The column of each row so that the sum of costs, and of a penalty for each pair of rivals of one name, is low;
    and the costs with the penalties that follow from everybody else. costs: [n, names + 1], the last one for nobody.

    From each row's cheapest column on, whoever gains more than any of his rivals moves, until nobody gains: the sum
    falls with every round. Rivals who gain the same are not rare: between two references each place is as far from
    both together. Then the one of the lowest rank moves, so that the order of rows plays no part.
    """
    from scipy.sparse import csr_array

    numbers = costs.argmin(axis=1)
    if not len(rivals) or not penalty:
        return numbers, costs
    n = len(costs)
    rows, (one, other) = np.arange(n), np.concatenate([rivals, rivals[:, ::-1]]).T
    beside = csr_array((np.ones(len(one)), (one, other)), shape=(n, n))
    now = costs
    for _ in range(MOST_ROUNDS):
        taken = np.zeros(costs.shape)
        taken[rows, numbers] = 1.0
        taken[:, -1] = 0.0
        now = costs + penalty * (beside @ taken)
        gains = (now[rows, numbers] - now.min(axis=1)).round(EQUAL)
        beaten = (gains[other] > gains[one]) | ((gains[other] == gains[one]) & (ranks[other] < ranks[one]))
        moves = gains > 0
        moves[one[beaten]] = False
        if not moves.any():
            break
        numbers = np.where(moves, now.argmin(axis=1), numbers)
    return numbers, now
