"""Secrets at rest open only with their key and for their owner."""

import pytest

from objstore.iam.sealing import SealBroken, Sealer


def test_what_is_sealed_opens_again() -> None:
    sealer = Sealer.generate()
    for secret in ("", "s", "s3cr3t" * 20, "ünïcödé"):
        assert sealer.open(sealer.seal(secret, "AK1"), "AK1") == secret


def test_the_same_secret_is_never_sealed_alike() -> None:
    sealer = Sealer.generate()
    assert sealer.seal("secret", "AK1") != sealer.seal("secret", "AK1")


def test_a_sealed_secret_moved_to_another_owner_does_not_open() -> None:
    sealer = Sealer.generate()
    with pytest.raises(SealBroken, match="owner"):
        sealer.open(sealer.seal("secret", "AK1"), "AK2")


def test_another_key_does_not_open_and_says_so() -> None:
    sealed = Sealer.generate().seal("secret", "AK1")
    with pytest.raises(SealBroken, match="another key file"):
        Sealer.generate().open(sealed, "AK1")


def test_no_changed_byte_goes_unnoticed() -> None:
    sealer = Sealer.generate()
    sealed = sealer.seal("secret", "AK1")
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= 1
        with pytest.raises(SealBroken):
            sealer.open(bytes(changed), "AK1")
    for length in range(len(sealed)):
        with pytest.raises(SealBroken):
            sealer.open(sealed[:length], "AK1")


def test_a_key_file_holds_the_key_and_nothing_else_is_one() -> None:
    sealer = Sealer.generate()
    again = Sealer.from_text(sealer.to_text())
    assert again.open(sealer.seal("secret", "AK1"), "AK1") == "secret"
    assert "Sealer" in repr(sealer) and sealer.to_text().split(":")[1].strip() not in repr(sealer)
    for text in (
        "",
        "objstore-secret-key-1:",
        "objstore-secret-key-1:zz",
        "objstore-secret-key-1:00",
        "0" * 64,
    ):
        with pytest.raises(ValueError, match=r".+"):
            Sealer.from_text(text)
