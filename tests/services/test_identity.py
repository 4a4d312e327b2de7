"""Ids and public handles are made from the entropy that is handed in, all of it."""

from __future__ import annotations

from uuid import UUID

from penstock.domain.ids import parse_media_key
from penstock.services.identity import new_id, new_media_key
from tests.support.repeatable import SeededEntropy


def test_ids_are_version_4_uuids_and_each_is_another() -> None:
    entropy = SeededEntropy()
    made = [new_id(entropy) for _ in range(100)]

    assert len(set(made)) == 100
    assert all(UUID(text).version == 4 and str(UUID(text)) == text for text in made)
    assert made[0] == new_id(SeededEntropy())


def test_a_public_handle_has_128_random_bits_before_its_name() -> None:
    entropy = SeededEntropy()
    random = SeededEntropy().random_bytes(16)

    key = new_media_key(entropy, "photo.png")

    assert key == f"{random.hex()}-photo.png"
    assert parse_media_key(key) == key
    assert new_media_key(entropy, "photo.png") != key
