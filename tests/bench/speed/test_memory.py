from vivace.bench.speed.memory import peak_resident_mib, resident_mib


def test_peak_memory_is_at_least_what_is_resident() -> None:
    assert 0 < resident_mib() <= peak_resident_mib() + 1
